"""python -m launcher help [VERB]: all verbs by group, or one of them."""

import argparse
from typing import TypedDict

from launcher.cli.help import help_text
from launcher.cli.verb import Verb, all_verbs
from launcher.errors import Exit
from launcher.output import print_json, print_text


class VerbLine(TypedDict):
    """A verb."""

    line: str
    """One line that says what it does."""
    example: str
    """The arguments after `python -m launcher`; several examples are on separate lines."""


class VerbList(TypedDict):
    """All verbs."""

    verbs: dict[str, VerbLine]
    """Each verb by its full name, such as `sweep status`."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verb", nargs="*", metavar="VERB", help="for example plan, or sweep status")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.json:
        result: VerbList = {
            "verbs": {
                name: {"line": verb.line, "example": verb.example} for name, verb in all_verbs().items()
            }
        }
        print_json(result)
    else:
        print_text(help_text(" ".join(options.verb)))
    return Exit.OK


VERB = Verb(
    line="list all verbs, or show the help of one",
    example="help sweep status",
    add=_add,
    run=_run,
    prints=VerbList,
    runs_dir=False,
)
