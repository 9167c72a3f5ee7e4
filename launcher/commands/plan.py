"""python -m launcher plan +experiment=NAME [key=value ...] [--json] [--explain | --sweep]: what a launch would do."""

import json
from datetime import datetime

from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.launching.estimates import explain_dict, explain_lines
from launcher.launching.launch import warn, warn_of
from launcher.launching.plan_table import print_table, table_rows
from launcher.launching.plan_text import plan_dict, plan_text
from launcher.launching.planning import prepare
from launcher.output import align
from launcher.plan import close_call

HELP = """usage: python -m launcher plan +experiment=NAME [key=value ...] [--json] [--explain | --sweep]

Plan a run and print the plan: does it fit, how long, what does it cost, and what else would do. Nothing is written,
nothing is submitted. --explain tells how each part of the memory is counted and by which source. --sweep makes a table
of every combination of the values that are given with commas.

example: python -m launcher plan +experiment=llama70b_qlora resources.nodes=4 --json
         python -m launcher plan +experiment=llama70b_qlora --sweep resources.nodes=1,2,4,8 strategy=zero2,zero3,fsdp2
"""
_OPTIONS = ("--json", "--explain", "--sweep")


def main(arguments: list[str]) -> int:
    """The exit code."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return Exit.OK
    as_json = "--json" in arguments
    moment = datetime.now()
    overrides = [argument for argument in arguments if argument not in _OPTIONS]
    if "--sweep" in arguments:
        rows = table_rows(overrides, moment)
        print(json.dumps(rows, indent=2)) if as_json else print_table(rows)
        return Exit.OK
    for composed in compose(overrides):
        run, plan = prepare(composed, moment)
        if warning := close_call(composed.config, plan):
            warn(warning)
        warn_of(composed, plan)
        if "--explain" in arguments:
            print(json.dumps(explain_dict(plan), indent=2) if as_json else align(explain_lines(plan)))
        elif as_json:
            print(json.dumps(plan_dict(run, plan, composed.config), indent=2))
        else:
            print(plan_text(run, plan, composed.config))
    return Exit.OK
