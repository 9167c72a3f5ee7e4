"""python -m launcher data rules: every rule of the data check."""

import argparse
from typing import TypedDict

from launcher.cli.verb import Verb
from launcher.data.findings import RULES
from launcher.errors import Exit
from launcher.output import print_json, print_text


class DataRule(TypedDict):
    """A rule of the data check, under its name."""

    level: str
    """error: stops a launch; warning: is printed, and the launch continues."""
    reason: str
    """Why the rule is there."""


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.json:
        result: dict[str, DataRule] = {
            name: {"level": rule.level, "reason": rule.reason} for name, rule in RULES.items()
        }
        print_json(result)
        return Exit.OK
    for name, rule in RULES.items():
        print_text(f"{name:<18}  {rule.level:<7}  {rule.reason}")
    return Exit.OK


VERB = Verb(
    line="list every rule of the data check with its level and reason",
    example="data rules --json",
    run=_run,
    prints=dict[str, DataRule],
    runs_dir=False,
)
