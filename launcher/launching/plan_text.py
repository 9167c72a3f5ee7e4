"""A plan as JSON and as text, with the files that a launch would write and the command that it would run."""

import shlex
from collections.abc import Sequence
from typing import Any, TypedDict

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.launching.estimates import Estimates, estimate_lines, estimates_dict
from launcher.launching.plan_warnings import HowMuch, extent_dict
from launcher.launching.summary import plan_lines
from launcher.output import align
from launcher.plan import LaunchPlan
from launcher.plan.extent import extent_of
from launcher.render import file_names
from launcher.run import RunDir


class TopologySize(TypedDict):
    """Nodes and ranks."""

    nodes: int
    """Number of nodes that train."""
    gpus_per_node: int
    """Ranks of a node."""
    world_size: int
    """Number of ranks: nodes * gpus_per_node."""


class WhatALaunchWouldDo(TypedDict):
    """A plan: the content of plan.json, with its estimates."""

    topology: TopologySize
    """Nodes and ranks."""
    training: HowMuch
    """How much it trains."""
    warnings: list[str]
    """The warnings about it, the most important first."""
    notes: list[str]
    """Sentences about decisions that the configuration left open."""
    files: list[str]
    """Names of the files that a launch would write into the run dir."""
    command: str
    """The command that would submit or start the run."""


PLAN_PRINTS = (LaunchPlan, Estimates, WhatALaunchWouldDo)
"""What `plan --json` prints: plan.json's content, the estimates, and what a launch would write and run."""


def plan_dict(
    run: RunDir, plan: LaunchPlan, config: Config, warnings: Sequence[str], notes: Sequence[str]
) -> dict[str, Any]:
    """The plan for JSON: plan.json's content, the estimates, and the files and the command of a launch."""
    return {
        **plan.to_dict(),
        **estimates_dict(config, plan),
        "training": extent_dict(config, plan),
        "warnings": list(warnings),
        "notes": list(notes),
        "files": ["config.yaml", *file_names(plan)],
        "command": shlex.join(find_cluster(plan.cluster).submit_command(run.job_script)),
    }


def plan_text(run: RunDir, plan: LaunchPlan, config: Config, notes: Sequence[str]) -> str:
    """The plan as text."""
    command = shlex.join(find_cluster(plan.cluster).submit_command(run.job_script))
    lines = [("run", run.name), *plan_lines(plan, extent_of(config, plan)), *estimate_lines(config, plan)]
    lines += [("note", note) for note in notes]
    return align([*lines, ("files", ", ".join(file_names(plan))), ("command", command)])
