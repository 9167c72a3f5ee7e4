"""python -m launcher plan +experiment=NAME [key=value ...] [--json]: what a launch would do."""

import json
import shlex
from datetime import datetime
from typing import Any

from launcher.clusters.choose import submit_command
from launcher.commands.compose import compose
from launcher.commands.data_gate import check_data, print_warnings
from launcher.commands.prepare import prepare
from launcher.commands.summary import align, plan_lines
from launcher.errors import Exit
from launcher.plan import LaunchPlan
from launcher.render import file_names
from launcher.run import RunDir

HELP = """usage: python -m launcher plan +experiment=NAME [key=value ...] [--json]

Plan a run and print the plan. Nothing is written, nothing is submitted.

example: python -m launcher plan +experiment=llama70b_qlora resources.nodes=4 --json
"""


def main(arguments: list[str]) -> int:
    """The exit code."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return Exit.OK
    as_json = "--json" in arguments
    moment = datetime.now()
    for composed in compose([argument for argument in arguments if argument != "--json"]):
        run, plan = prepare(composed, moment)
        print_warnings(check_data(composed.config))
        print(json.dumps(as_dict(run, plan), indent=2) if as_json else text(run, plan))
    return Exit.OK


def as_dict(run: RunDir, plan: LaunchPlan) -> dict[str, Any]:
    """The plan for a machine: plan.json's content, and what launching it would write and type."""
    return {
        **plan.to_dict(),
        "files": ["config.yaml", *file_names(plan)],
        "command": shlex.join(submit_command(plan.cluster, run)),
    }


def text(run: RunDir, plan: LaunchPlan) -> str:
    """The plan for a person."""
    command = shlex.join(submit_command(plan.cluster, run))
    files = ", ".join(file_names(plan))
    return align([("run", run.name), *plan_lines(plan), ("files", files), ("command", command)])
