"""python -m launcher help [VERB]: all verbs by group, or one of them."""

import argparse
import json

from launcher.cli.find import all_verbs
from launcher.cli.help import help_text
from launcher.cli.verb import Verb
from launcher.errors import Exit


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verb", nargs="*", metavar="VERB", help="for example plan, or sweep status")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.json:
        lines = {name: {"line": verb.line, "example": verb.example} for name, verb in all_verbs().items()}
        print(json.dumps({"verbs": lines}))
    else:
        print(help_text(" ".join(options.verb)))
    return Exit.OK


VERB = Verb(
    line="list all verbs, or show the help of one",
    example="help sweep status",
    add=_add,
    run=_run,
    runs_dir=False,
)
