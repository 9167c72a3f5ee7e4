"""A table of plans: one row for every combination of comma-separated values."""

from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from launcher.errors import PlanError
from launcher.launching.compose import Composed, compose
from launcher.launching.planning import look
from launcher.plan.queue import expect

if TYPE_CHECKING:
    from rich.table import Table

_NUMBERS = ("total_gib", "gpus", "step_s", "tokens_per_s", "total_h", "gpu_hours", "money")
_COLUMNS = ("fits", "GiB per GPU", "GPUs", "s per step", "tokens/s", "hours", "GPU-hours", "money")


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
