"""python -m launcher data rules: every rule of the data check."""

import argparse
import json

from launcher.cli.verb import Verb
from launcher.data.rules import RULES
from launcher.errors import Exit


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.json:
        print(
            json.dumps({name: {"level": rule.level, "reason": rule.reason} for name, rule in RULES.items()})
        )
        return Exit.OK
    for name, rule in RULES.items():
        print(f"{name:<18}  {rule.level:<7}  {rule.reason}")
    return Exit.OK


VERB = Verb(
    line="list every rule of the data check with its level and reason",
    example="data rules --json",
    run=_run,
    runs_dir=False,
)
