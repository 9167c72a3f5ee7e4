"""How a trial ended, derived only from the files of its run, so that every reader gets the same answer."""

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any

from launcher.errors import RunError
from launcher.reading import read_json
from launcher.run import RunDir, now, write_text
from launcher.run.events.supervisor import Pruned, Started, Stopped
from launcher.run.history import History, read_history
from launcher.run.kinds import OUTCOME, fits
from launcher.run.metrics import MetricsReader
from launcher.run.totals import ended_by, gpu_s, was_cancelled
from launcher.sweep.folder import STATES, SweepDir

WAITING, RUNNING, FINISHED, PRUNED, FAILED, CANCELLED = STATES


class Reports:
    """Reads the objective that a trial's run reports; each call reads only new metrics."""

    def __init__(self, run: RunDir, objective: str) -> None:
        self._lines, self._objective = MetricsReader(run.metrics), objective
        self._found: dict[int, float] = {}

    def read(self) -> dict[int, float]:
        """Step -> the objective, from the metrics of the run; values before the first step do not count."""
        lines = self._lines.read()
        if self._lines.restarted:
            self._found.clear()
        for line in lines:
            value = line.get(self._objective)
            if isinstance(value, int | float) and math.isfinite(value) and line.step:
                self._found[line.step] = float(value)
        return self._found


def reports(run: RunDir, objective: str) -> dict[int, float]:
    """Step -> the objective, from the metrics of the run so far."""
    return Reports(run, objective).read()


def outcome_of(run: RunDir, objective: str) -> dict[str, Any] | None:
    """The content of outcomes/N.json; None for a run that has not ended."""
    last = ended_by(History.of(run.read_events()))
    if last is None:
        return None
    history, error = read_history(run), None
    if isinstance(last, Stopped):
        state = CANCELLED if was_cancelled(last) else FAILED
        error = last.reason
    else:
        state = PRUNED if isinstance(last, Pruned) else FINISHED
    reported = reports(run, objective)
    started = history.all(Started)
    return {
        "state": state,
        "value": list(reported.values())[-1] if reported and state == FINISHED else None,
        "intermediate": reported,
        "error": error,
        "started": started[0].time if started else None,
        "ended": last.time,
        "gpu_s": round(gpu_s(run, history), 1),
    }


def ended_before(state: str, reason: str, started: str) -> dict[str, Any]:
    """The outcome of a trial that never became a run."""
    return {
        "state": state, "value": None, "intermediate": {}, "error": reason, "started": started, "ended": now(), "gpu_s": 0.0,
    }  # fmt: skip


def settle(sweep: SweepDir, number: int, objective: str) -> dict[str, Any] | None:
    """The outcome of the trial, written to outcomes/N.json if it was not yet; None while it has none."""
    path = sweep.outcomes / f"{number}.json"
    with contextlib.suppress(OSError, RunError):
        known = read_json(path)
        if fits(known, OUTCOME) and known.get("state") in STATES:
            return known
    found = outcome_of(sweep.trial(number), objective)
    if found is not None:
        keep(sweep, number, found)
    return found


def keep(sweep: SweepDir, number: int, outcome: Mapping[str, Any]) -> None:
    """Writes outcomes/N.json."""
    sweep.outcomes.mkdir(exist_ok=True)
    write_text(sweep.outcomes / f"{number}.json", json.dumps(outcome) + "\n", durable=True)
