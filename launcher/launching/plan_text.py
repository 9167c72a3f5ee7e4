"""What `plan` prints: one plan as JSON and as text, with the files and the command of a launch, or a table of plans."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.errors import PlanError
from launcher.launching.compose import compose
from launcher.launching.composed import Composed
from launcher.launching.estimates import Estimates, estimate_lines, estimates_dict
from launcher.launching.plan_warnings import HowMuch, extent_dict
from launcher.launching.planning import look
from launcher.launching.summary import plan_lines
from launcher.output import align
from launcher.plan import LaunchPlan
from launcher.plan.extent import extent_of
from launcher.plan.queue import expect
from launcher.render import file_names
from launcher.run import RunDir

if TYPE_CHECKING:
    from rich.table import Table

_NUMBERS = ("total_gib", "gpus", "step_s", "tokens_per_s", "total_h", "gpu_hours", "money")
_COLUMNS = ("fits", "GiB per GPU", "GPUs", "s per step", "tokens/s", "hours", "GPU-hours", "money")


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


def plan_text(
    run: RunDir,
    plan: LaunchPlan,
    config: Config,
    notes: Sequence[str],
    more: Sequence[tuple[str, str]] = (),
) -> str:
    """The plan as text. `more`: lines with their names before the notes."""
    command = shlex.join(find_cluster(plan.cluster).submit_command(run.job_script))
    lines = [("run", run.name), *plan_lines(plan, extent_of(config, plan)), *estimate_lines(config, plan)]
    lines += [*more, *(("note", note) for note in notes)]
    return align([*lines, ("files", ", ".join(file_names(plan))), ("command", command)])


class PlanRow(TypedDict):
    """One combination of settings: its figures, or why it is refused."""

    settings: dict[str, str | None]
    """The keys that differ between rows, with their values as typed."""
    refused: str | None
    """Why the combination cannot be launched; null if it can."""
    fits: bool | None
    """Whether it fits the cluster's GPUs; null if that is not known."""
    total_gib: float | None
    """Peak GiB of one GPU."""
    gpus: int | None
    """Number of ranks."""
    step_s: float | None
    """Seconds of a step."""
    tokens_per_s: float | None
    """Tokens per second over all ranks."""
    total_h: float | None
    """Hours of the whole run over all attempts, without the time in the queue."""
    gpu_hours: float | None
    """GPU-hours of the whole run."""
    money: float | None
    """In the currency of cluster.price_per_gpu_hour."""


def table_rows(overrides: list[str], moment: datetime) -> list[PlanRow]:
    """One row per combination: its settings, and its figures, or why it is refused."""
    trials = compose(["-m", *overrides])
    swept = [key for key in _keys(trials) if len({_value(one, key) for one in trials}) > 1]
    return [_row(one, swept, moment) for one in trials]


def make_table(rows: list[PlanRow]) -> "Table":
    """The rows as a table of rich."""
    from rich.table import Table

    swept = list(rows[0]["settings"])
    table = Table(*swept, *_COLUMNS)
    for row in rows:
        fits = {True: "yes", False: "no", None: "?"}[row["fits"]] if not row["refused"] else row["refused"]
        numbers = [_short(row[key]) for key in _NUMBERS]
        table.add_row(*(str(row["settings"][key]) for key in swept), fits, *numbers)
    return table


def _row(composed: Composed, swept: list[str], moment: datetime) -> PlanRow:
    settings = {key: _value(composed, key) for key in swept}
    row: PlanRow = {
        "settings": settings, "refused": None, "fits": None, "total_gib": None, "gpus": None, "step_s": None,
        "tokens_per_s": None, "total_h": None, "gpu_hours": None, "money": None,
    }  # fmt: skip
    try:
        looked = look(composed, moment)
    except PlanError as error:
        return {**row, "refused": str(error)}
    config, plan = looked.composed.config, looked.plan
    row["gpus"] = plan.topology.world_size
    if plan.memory is None or plan.time is None:
        return row
    size, course = config.cluster.gpu_memory_gib, expect(config, plan)
    return {
        **row,
        "fits": None if size is None else plan.memory.total <= size,
        "total_gib": round(plan.memory.total, 2),
        "step_s": plan.time.step_s,
        "tokens_per_s": plan.time.tokens_per_s,
        "total_h": course.wall_h if course else None,
        "gpu_hours": course.gpu_hours if course else None,
        "money": course.money if course else None,
    }


def _keys(trials: list[Composed]) -> list[str]:
    typed = [override.lstrip("+~").partition("=")[0] for one in trials for override in one.overrides]
    return list(dict.fromkeys(typed))


def _value(composed: Composed, key: str) -> str | None:
    for override in composed.overrides:
        name, _, value = override.lstrip("+~").partition("=")
        if name == key:
            return value
    return None


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
