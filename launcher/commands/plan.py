"""python -m launcher plan +experiment=NAME [key=value ...] [--json] [--explain | --sweep]: what a launch would do."""

import json
import shlex
import sys
from datetime import datetime
from typing import Any

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.launching.data_gate import check_data, print_warnings
from launcher.launching.estimates import estimate_lines, estimates_dict, explain_dict, explain_lines
from launcher.launching.plan_table import sweep
from launcher.launching.planning import prepare
from launcher.launching.summary import align, plan_lines
from launcher.plan import LaunchPlan, close_call, few_cores
from launcher.plan.options import notes
from launcher.render import file_names
from launcher.run import RunDir

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
        return sweep(overrides, moment, as_json=as_json)
    for composed in compose(overrides):
        run, plan = prepare(composed, moment)
        print_warnings(check_data(composed.config))
        for warning in filter(None, [close_call(composed.config, plan), few_cores(plan)]):
            print(f"launcher: warning: {warning}", file=sys.stderr)
        if "--explain" in arguments:
            print(json.dumps(explain_dict(plan), indent=2) if as_json else align(explain_lines(plan)))
        elif as_json:
            print(json.dumps(as_dict(run, plan, composed.config), indent=2))
        else:
            print(text(run, plan, composed.config))
    return Exit.OK


def as_dict(run: RunDir, plan: LaunchPlan, config: Config) -> dict[str, Any]:
    """The plan for a machine: plan.json's content, the estimates, and what launching it would write and type."""
    return {
        **plan.to_dict(),
        **estimates_dict(config, plan),
        "notes": notes(config, plan),
        "files": ["config.yaml", *file_names(plan)],
        "command": shlex.join(find_cluster(plan.cluster).submit_command(run.job_script)),
    }


def text(run: RunDir, plan: LaunchPlan, config: Config) -> str:
    """The plan for a person."""
    command = shlex.join(find_cluster(plan.cluster).submit_command(run.job_script))
    lines = [("run", run.name), *plan_lines(plan), *estimate_lines(config, plan)]
    lines += [("note", note) for note in notes(config, plan)]
    return align([*lines, ("files", ", ".join(file_names(plan))), ("command", command)])
