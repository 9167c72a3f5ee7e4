"""For how long a run has held how many GPUs, by its own files."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from launcher.run import RunDir

_FROM_OUTSIDE = ("planned", "submitted", "replanned")
"""Events that a command writes while no rank may be running."""
_ENDS = ("finished", "pruned", "stopped", "requeued")


def gpus_held(run: RunDir) -> int:
    """GPUs of all its nodes, spares too; with device=cpu as many as it has ranks there."""
    plan = run.read_json(run.plan)
    return (plan["topology"]["nodes"] + plan["spares"]) * plan["topology"]["gpus_per_node"]


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
        elif name in _ENDS:
            total += _apart(begun, time)
            begun = ""
        elif name == "ended":
            between = True
        last = time
    return total + (_apart(begun, until or last) if begun else 0.0)


def _apart(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
