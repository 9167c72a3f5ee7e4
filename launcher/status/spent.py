"""A run's cost so far: its GPU-hours and their price, beside the planned values."""

from dataclasses import dataclass

from launcher.errors import LauncherError
from launcher.plan.queue import expect
from launcher.plugins.decide import look_at_run
from launcher.run import RunDir, now
from launcher.run.events.supervisor import Started
from launcher.run.history import HistoryReader
from launcher.run.totals import gpu_s
from launcher.units import significant


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run on GPUs has cost so far, and as planned."""

    gpu_hours: float
    """GPU-hours over all attempts; spare nodes count."""
    money: float | None
    """In the currency of cluster.price_per_gpu_hour; None if that is not set."""
    planned_gpu_hours: float | None
    """GPU-hours of the whole run by its plan; None if the plan does not know how long training takes."""
    planned_money: float | None
    """Their price; None if one of the two is not known."""


def read_spent(run: RunDir, *, running: bool, reader: HistoryReader | None = None) -> Spent | None:
    """The cost of the run; None for a run on CPUs, and if its files are from another version of this program.

    `reader`: that of a caller that has read the run already.
    """
    if run.read_json(run.plan).get("device") != "cuda":
        return None
    history = (reader or HistoryReader(run, whole=False)).read()
    if history.newest(Started) is None:
        return None
    try:
        decided = look_at_run(run)
    except LauncherError:
        return None
    plan, config = decided.plan, decided.config
    hours = gpu_s(run, history, now() if running else None) / 3600
    price, course = config.cluster.price_per_gpu_hour, expect(config, plan)
    return Spent(
        gpu_hours=significant(hours),
        money=None if price is None else significant(hours * price),
        planned_gpu_hours=course.gpu_hours if course else None,
        planned_money=course.money if course else None,
    )


def spent_line(spent: Spent) -> str:
    """GPU-hours and money, each with the planned value."""
    hours = f"{spent.gpu_hours:,.3g} GPU-hours"
    hours += f" of {spent.planned_gpu_hours:,.3g} planned" if spent.planned_gpu_hours is not None else ""
    if spent.money is None:
        return hours
    money = f"{spent.money:,.2f}" + (
        f" of {spent.planned_money:,.2f}" if spent.planned_money is not None else ""
    )
    return f"{hours}; {money} at cluster.price_per_gpu_hour"
