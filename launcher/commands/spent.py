"""What a run has cost so far: the GPU-hours that it held and their price, beside what its plan expects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from launcher.errors import LauncherError
from launcher.plan.queue import expect
from launcher.plugins.decide import read_run
from launcher.run import RunDir, now

_FROM_OUTSIDE = ("planned", "submitted", "replanned")
"""Events that a command writes while no rank may be running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """So far and as planned; the latter is None where the plan does not know how long training takes."""

    gpu_hours: float
    money: float | None
    """In the currency of cluster.price_per_gpu_hour; None where that is not set."""
    planned_gpu_hours: float | None
    planned_money: float | None


def read_spent(run: RunDir, *, running: bool) -> Spent | None:
    """What the run has spent; None for a run on CPUs, and where its files are of another version of this program."""
    events = run.read_events()
    started = any(event["event"] == "started" for event in events)
    if not started or run.read_json(run.plan).get("device") != "cuda":
        return None
    try:
        decided = read_run(run)
    except LauncherError:
        return None
    plan, config = decided.plan, decided.config
    seconds = held_s(events, run.read_metrics(), now() if running else None)
    hours = seconds / 3600 * (plan.topology.nodes + plan.spares) * plan.topology.gpus_per_node
    price, course = config.cluster.price_per_gpu_hour, expect(config, plan)
    return Spent(
        gpu_hours=_round(hours),
        money=None if price is None else _round(hours * price),
        planned_gpu_hours=course.gpu_hours if course else None,
        planned_money=course.money if course else None,
    )


def held_s(
    events: Iterable[Mapping[str, Any]], metrics: Iterable[Mapping[str, Any]], until: str | None
) -> float:
    """Seconds for which the run held its nodes, restarts inside a job included and waiting in the queue not.

    `until`: the end of what still runs. A job that ended without a word held them until its last event or metric.
    """
    signs = [(str(event["time"]), str(event["event"])) for event in events]
    signs += [(str(line["time"]), "logged") for line in metrics if "time" in line]
    total, begun, last, between = 0.0, "", "", False
    for time, name in sorted(signs, key=lambda sign: sign[0]):
        if name == "started":
            if begun and not between:
                total += _apart(begun, last)
                begun = ""
            begun, between = begun or time, False
        elif not begun or name in _FROM_OUTSIDE:
            continue
        elif name in ("finished", "stopped", "requeued"):
            total += _apart(begun, time)
            begun = ""
        elif name == "ended":
            between = True
        last = time
    return total + (_apart(begun, until or last) if begun else 0.0)


def spent_line(spent: Spent) -> str:
    """GPU-hours and money, each with what was planned."""
    hours = f"{spent.gpu_hours:,.3g} GPU-hours"
    hours += f" of {spent.planned_gpu_hours:,.3g} planned" if spent.planned_gpu_hours is not None else ""
    if spent.money is None:
        return hours
    money = f"{spent.money:,.2f}" + (
        f" of {spent.planned_money:,.2f}" if spent.planned_money is not None else ""
    )
    return f"{hours}; {money} at cluster.price_per_gpu_hour"


def _apart(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _round(value: float) -> float:
    return float(f"{value:.4g}")
