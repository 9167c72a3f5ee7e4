"""How a trial ended, derived only from the files of its run, so that every reader gets the same answer."""

import json
import math
from collections.abc import Mapping
from typing import Any

from launcher.errors import Exit
from launcher.run import RunDir, now, write_text
from launcher.run.held import gpus_held, held_s
from launcher.sweep.folder import SweepDir

WAITING, RUNNING, FINISHED, PRUNED, FAILED, CANCELLED = (
    "waiting", "running", "finished", "pruned", "failed", "cancelled",
)  # fmt: skip
STATES = (WAITING, RUNNING, FINISHED, PRUNED, FAILED, CANCELLED)
_ENDS = {"finished": FINISHED, "pruned": PRUNED, "stopped": FAILED}
_CANCELLED = (Exit.INTERRUPTED, Exit.TERMINATED)


def reports(run: RunDir, objective: str) -> dict[int, float]:
    """Step -> the objective, from the metrics of the run; values before the first step do not count."""
    return {
        int(line["step"]): float(line[objective])
        for line in run.read_metrics()
        if isinstance(line.get(objective), int | float)
        and math.isfinite(line[objective])
        and line.get("step")
    }


def outcome_of(run: RunDir, objective: str) -> dict[str, Any] | None:
    """The content of outcomes/N.json; None for a run that has not ended."""
    events = run.read_events()
    told = [
        event
        for event in events
        if event["event"] in (*_ENDS, "started", "requeued", "submitted", "replanned")
    ]
    last = told[-1] if told else None
    if last is None or last["event"] not in _ENDS:
        return None
    state, error = _ENDS[last["event"]], None
    if state == FAILED:
        state = CANCELLED if last["exit_code"] in _CANCELLED else FAILED
        error = str(last["reason"])
    reported = reports(run, objective)
    started = [event["time"] for event in events if event["event"] == "started"]
    return {
        "state": state,
        "value": list(reported.values())[-1] if reported and state == FINISHED else None,
        "intermediate": reported,
        "error": error,
        "started": started[0] if started else None,
        "ended": last["time"],
        "gpu_s": round(gpu_s(run), 1),
    }


def ended_before(state: str, reason: str, started: str) -> dict[str, Any]:
    """The outcome of a trial that never became a run."""
    return {
        "state": state, "value": None, "intermediate": {}, "error": reason, "started": started, "ended": now(), "gpu_s": 0.0,
    }  # fmt: skip


def gpu_s(run: RunDir) -> float:
    """GPU seconds (with device=cpu, rank seconds) that the run has used, up to its newest event or metric."""
    seconds = held_s(run.read_events(), run.read_metrics(), None)
    return seconds * gpus_held(run) if seconds else 0.0


def settle(sweep: SweepDir, number: int, objective: str) -> dict[str, Any] | None:
    """The outcome of the trial, written to outcomes/N.json if it was not yet; None while it has none."""
    path = sweep.outcomes / f"{number}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        pass
    found = outcome_of(sweep.trial(number), objective)
    if found is not None:
        keep(sweep, number, found)
    return found


def keep(sweep: SweepDir, number: int, outcome: Mapping[str, Any]) -> None:
    """Writes outcomes/N.json."""
    sweep.outcomes.mkdir(exist_ok=True)
    write_text(sweep.outcomes / f"{number}.json", json.dumps(outcome) + "\n")
