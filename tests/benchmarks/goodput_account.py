"""From what an arm left to the figures of tests/benchmarks/goodput.py. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from launcher.plan.save import best_interval_s, effective_training_time

PHASES = ("detect", "stop", "start", "import", "load", "first step")
Line = Mapping[str, Any]


def account(
    journal: Sequence[Line],
    committed: Sequence[tuple[float, int]],
    ends: Sequence[tuple[float, float]],
    faults: Sequence[Line],
    seconds: float,
) -> dict[str, Any]:
    """The figures of one arm over `seconds` from its first step.

    `committed`: (time, step) of every safe checkpoint; `ends`: (time, seconds it took) of every end of the ranks.
    """
    begun = first_step(journal)
    until = begun + seconds
    lines = [line for line in journal if line["time"] <= until]
    steps = [line for line in lines if line["what"] == "step"]
    hits = [fault for fault in faults if fault["hit"]]
    outages = [outage(lines, ends, hits, index) for index in range(len(hits))]
    stalls = [line["blocked_s"] for line in lines if line["what"] == "saved"]
    return {
        "seconds": seconds,
        "committed": max((step for moment, step in committed if moment <= until), default=0),
        "step_s": _step_s(lines),
        "taken": len(steps),
        "new": len({line["step"] for line in steps}),
        "restarts": sum(line["what"] == "process" and line["rank"] == 0 for line in lines) - 1,
        "save_s": statistics.median(stalls) if stalls else 0.0,
        "hits": len(hits),
        "faults": len(faults),
        "outages": [one for one in outages if one is not None],
        "last_step_s": round(steps[-1]["time"] - begun, 3) if steps else 0.0,
    }


def first_step(journal: Sequence[Line]) -> float:
    """When the first step was done."""
    return next(line["time"] for line in journal if line["what"] == "step")


def outage(
    lines: Sequence[Line], ends: Sequence[tuple[float, float]], hits: Sequence[Line], index: int
) -> dict[str, Any] | None:
    """From a fault to the next step of new ranks, by phase; None where none came, or another fault came in between.

    `down` is the part of it without a step: ranks that are asked to shut down may train on for a while. A phase that an arm
    does not distinguish is counted in the one before it.
    """
    fault = hits[index]
    begins = fault["time"]
    old = {line["process"] for line in lines if line["what"] == "step" and line["time"] <= begins}
    after = [line for line in lines if line["what"] == "step" and line["time"] > begins]
    step = next((line for line in after if line["process"] not in old), None)
    if step is None:
        return None
    if index + 1 < len(hits) and hits[index + 1]["time"] < step["time"]:
        return None
    last = max((line["time"] for line in after if line["time"] < step["time"]), default=begins)
    own = {line["what"]: line["time"] for line in lines if line.get("process") == step["process"] and line["rank"] == 0
           and line["time"] < step["time"] and line["what"] != "step"}  # fmt: skip
    process = own["process"]
    imported = own.get("imported", process)
    end = next(((moment, took) for moment, took in ends if begins < moment <= process), None)
    ended, took = end or (process, 0.0)
    moments = [begins, ended - took, ended, process, imported, own["loaded"], step["time"]]
    phases = {name: round(b - a, 3) for name, (a, b) in zip(PHASES, pairwise(moments), strict=True)}
    return {
        "kind": fault["kind"],
        "rank": fault["rank"],
        "at_s": fault["at_s"],
        "total": round(step["time"] - begins, 3),
        "down": round(step["time"] - last, 3),
        **phases,
    }


def effective(figures: Line, step_s: float) -> float:
    """Effective training time: committed steps x the time of an undisturbed step / wall time."""
    return figures["committed"] * step_s / figures["seconds"]


def ceiling(figures: Line, step_s: float) -> float:
    """The best that can be had at this arm's cost of a step, a save and a restart, for the faults that hit it.

    Source: Daly, as in launcher.plan.save, at his best interval; an interval is at least a step.
    """
    speed = step_s / figures["step_s"]
    if not figures["hits"]:
        return speed
    between = figures["seconds"] / figures["hits"]
    save_s = max(figures["save_s"], 1e-3)
    interval = max(best_interval_s(save_s, between), figures["step_s"])
    return speed * effective_training_time(interval, save_s, restart_s(figures), between)


def restart_s(figures: Line) -> float:
    """Mean seconds without a step; infinite for an arm that never came back from a fault."""
    downs = [one["down"] for one in figures["outages"]]
    return statistics.mean(downs) if downs else math.inf


def phase_means(figures: Sequence[Line]) -> dict[str, float]:
    """Mean seconds of each phase over all outages."""
    outages = [one for line in figures for one in line["outages"]]
    return {phase: statistics.mean(one[phase] for one in outages) if outages else 0.0 for phase in PHASES}


def _step_s(lines: Sequence[Line]) -> float:
    """Median seconds of a step between two of one process without a save."""
    own = [line for line in lines if line["what"] in ("step", "saved")]
    return statistics.median(
        b["time"] - a["time"]
        for a, b in pairwise(own)
        if a["what"] == b["what"] == "step" and a["process"] == b["process"]
    )
