"""python -m launcher plan +experiment=NAME [key=value ...] [--json | --explain]: what a launch would do."""

import dataclasses
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
from launcher.plan.memory import EXPLAINED
from launcher.render import file_names
from launcher.run import RunDir

HELP = """usage: python -m launcher plan +experiment=NAME [key=value ...] [--json | --explain]

Plan a run and print the plan. Nothing is written, nothing is submitted. --explain tells how each part of the memory is
counted and by which source.

example: python -m launcher plan +experiment=llama70b_qlora resources.nodes=4 --json
"""


def main(arguments: list[str]) -> int:
    """The exit code."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return Exit.OK
    as_json = "--json" in arguments
    moment = datetime.now()
    explains = "--explain" in arguments
    for composed in compose([argument for argument in arguments if argument not in ("--json", "--explain")]):
        run, plan = prepare(composed, moment)
        print_warnings(check_data(composed.config))
        if explains:
            print(align(explain_memory(plan)))
            continue
        size = composed.config.cluster.gpu_memory_gib
        print(json.dumps(as_dict(run, plan, size), indent=2) if as_json else text(run, plan, size))
    return Exit.OK


def as_dict(run: RunDir, plan: LaunchPlan, size: float | None) -> dict[str, Any]:
    """The plan for a machine: plan.json's content, and what launching it would write and type."""
    return {
        **plan.to_dict(),
        "memory": memory_dict(plan, size),
        "files": ["config.yaml", *file_names(plan)],
        "command": shlex.join(submit_command(plan.cluster, run)),
    }


def memory_dict(plan: LaunchPlan, size: float | None) -> dict[str, Any] | None:
    """Whether it fits GPUs of `size` GiB, null where that is not known, and what it needs of each."""
    if plan.memory is None:
        return None
    parts = {**dataclasses.asdict(plan.memory), "total": round(plan.memory.total, 3)}
    fits = None if size is None else plan.memory.total <= size
    return {"fits": fits, "gpu_gib": size, "per_gpu_gib": parts}


def verdict(plan: LaunchPlan, size: float | None) -> list[tuple[str, str]]:
    """Whether it fits, and a bar for each kind of memory."""
    if plan.memory is None:
        return []
    total = plan.memory.total
    if size is None:
        told = f"needs {total:.1f} GiB a GPU; set cluster.gpu_memory_gib to have that checked"
    elif total <= size:
        told = f"yes, with {size - total:.1f} GiB to spare of {size:g}"
    else:
        told = f"no: needs {total:.1f} of {size:g} GiB; a launch would be refused"
    bars = [
        ("", f"{kind:<12}{gib:>8.2f} GiB  {'#' * round(40 * gib / max(total, size or 0))}")
        for kind, gib in dataclasses.asdict(plan.memory).items()
    ]
    return [("fits", told), *bars]


def explain_memory(plan: LaunchPlan) -> list[tuple[str, str]]:
    """A line for each kind of memory: its size, how it is counted, the source, and whether a CPU run has shown it."""
    if plan.memory is None:
        return [("memory", "not estimated: this run is on a CPU, or the model's shape is not known")]
    return [
        (f"{kind:<12}{gib:>8.2f} GiB", " ".join(EXPLAINED[kind].split()))
        for kind, gib in dataclasses.asdict(plan.memory).items()
    ]


def text(run: RunDir, plan: LaunchPlan, size: float | None) -> str:
    """The plan for a person."""
    command = shlex.join(submit_command(plan.cluster, run))
    files = ", ".join(file_names(plan))
    return align(
        [("run", run.name), *plan_lines(plan), *verdict(plan, size), ("files", files), ("command", command)]
    )
