"""python -m launcher rules: combinations that are known not to work."""

import argparse
import textwrap

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, print_text
from launcher.plan.broken_rules import all_rules
from launcher.rule import Rule, RuleRow

_WIDTH = 110


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.json:
        print_json([rule.row() for rule in all_rules()], indent=2)
    else:
        print_text("\n".join(_lines(rule) for rule in all_rules()))
    return Exit.OK


def _lines(rule: Rule) -> str:
    text = f"{rule.what}: {rule.reason}; {rule.way_out}"
    return textwrap.fill(text, _WIDTH, initial_indent=f"{rule.number:>3}  ", subsequent_indent="     ")


VERB = Verb(
    line="list combinations of method, plugins, strategy, device and more that are known not to work",
    about="A plan with one of them is refused with the rule's number.",
    example="rules --json",
    run=_run,
    prints=list[RuleRow],
    runs_dir=False,
    group="more",
)
