"""A plan as JSON and as text, with the files that a launch would write and the command that it would run."""

import shlex
from collections.abc import Sequence
from typing import Any

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.launching.estimates import estimate_lines, estimates_dict
from launcher.launching.plan_warnings import extent_dict
from launcher.launching.summary import plan_lines
from launcher.output import align
from launcher.plan import LaunchPlan
from launcher.plan.extent import extent_of
from launcher.render import file_names
from launcher.run import RunDir


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
