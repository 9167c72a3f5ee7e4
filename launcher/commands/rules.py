"""python -m launcher rules: combinations that are known not to work."""

import json
import textwrap

from launcher.commands.options import make_parser
from launcher.errors import Exit
from launcher.plan.rules import all_rules
from launcher.rule import Rule

_WIDTH = 110


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = make_parser(
        "rules",
        "Combinations of trainer, plugins, strategy, device and more that are known not to work. A plan that breaks one is "
        "refused with its number.",
        "python -m launcher rules --json",
    )
    options = parser.parse_args(arguments)
    if options.json:
        print(json.dumps([rule.to_dict() for rule in all_rules()], indent=2))
    else:
        print("\n".join(_lines(rule) for rule in all_rules()))
    return Exit.OK


def _lines(rule: Rule) -> str:
    told = f"{rule.what}: {rule.reason}; {rule.way_out}"
    return textwrap.fill(told, _WIDTH, initial_indent=f"{rule.number:>3}  ", subsequent_indent="     ")
