"""A sweep as read from its files: every trial with its values, its state and its reports. Nothing here asks the cluster."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from launcher.run import RunDir, read_lines
from launcher.run.history import read_history
from launcher.run.kinds import fits
from launcher.run.totals import gpu_s, gpus_held
from launcher.sweep.claims import read_claims
from launcher.sweep.folder import SweepDir, read_numbered
from launcher.sweep.outcome import FINISHED, RUNNING, STATES, WAITING, outcome_of, reports
from launcher.sweep.settings import spent

__all__ = ["STATES", "Sweep", "Trial", "read_sweep", "why_spent"]


_TRIAL = {"number": int, "values": Mapping[str, str]}
"""The fields of a line of trials.jsonl."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial."""

    number: int
    """Counted from 0."""
    overrides: dict[str, str]
    """The swept keys with the values of this trial, as typed on a command line."""
    state: str
    """One of STATES. A trial whose job is queued again is still running."""
    value: float | None
    """The objective at the trial's end; None for a trial that has not finished."""
    intermediate: dict[int, float]
    """Step -> the objective as reported at that step."""
    run_dir: Path | None
    """Its run dir; None before the trial has begun."""
    error: str | None
    """Why a failed trial failed."""
    started: str | None
    """When it began: ISO 8601, UTC."""
    ended: str | None
    """When it ended: ISO 8601, UTC."""
    held_s: float | None
    """Seconds for which it held its nodes; waiting in a queue does not count. None for a trial that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One sweep."""

    name: str
    """name/sweep_date_time."""
    path: Path
    """Its folder."""
    objective: str
    """The key of metrics.jsonl that the sweep optimizes."""
    direction: str
    """minimize or maximize."""
    sampler: str
    """How values are chosen: grid for every combination, otherwise the name of a sampler."""
    pruner: str
    """The pruner that ends bad trials early, or none."""
    parameters: list[str]
    """The swept keys."""
    space: dict[str, Any]
    """Swept key -> its values (`choices`), or its interval (`low`, `high`, `log`)."""
    trials: list[Trial]
    """Every trial, by number."""

    @property
    def best(self) -> Trial | None:
        """The finished trial with the best value; the first one if several have that value."""
        finished = [trial for trial in self.trials if trial.state == FINISHED and trial.value is not None]
        sign = 1 if self.direction == "minimize" else -1
        return min(finished, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)

    def count(self, state: str) -> int:
        """The number of trials in that state."""
        return sum(trial.state == state for trial in self.trials)


def read_sweep(folder: Path) -> Sweep:
    """The sweep in that folder; RunError if the folder is not a sweep."""
    sweep = SweepDir(folder)
    spec = sweep.read_spec()
    values: dict[int, dict[str, str]] = {
        line["number"]: line["values"]
        for line in read_lines(sweep.trials)
        if fits(line, _TRIAL) and {"number", "values"} <= line.keys() and 0 <= line["number"] < spec["trials"]
    }
    claims = read_claims(sweep)
    outcomes = dict(read_numbered(sweep.outcomes))
    values |= {number: claim["values"] for number, claim in claims.items() if claim.get("values")}
    numbers = sorted({*values, *claims, *outcomes})
    objective = str(spec["objective"])
    return Sweep(
        name=sweep.name,
        path=sweep.path,
        objective=objective,
        direction=spec["direction"],
        sampler=spec["sampler"],
        pruner=spec["pruner"],
        parameters=list(spec["parameters"]),
        space=dict(spec.get("space", {})),
        trials=[
            _trial(sweep, number, values.get(number, {}), claims.get(number), outcomes.get(number), objective)
            for number in numbers
        ],
    )


def why_spent(sweep: SweepDir) -> str | None:
    """The reason why no further trial may begin, given what the trials have used so far; None if one may begin."""
    budget = sweep.read_spec()["budget"]  # read again, because `sweep extend` may have raised it
    if all(limit is None for limit in budget.values()):
        return None  # without a limit, the trials of a large grid need not be read
    begun = read_claims(sweep)
    runs = (sweep.trial(number) for number in begun)
    used = (gpu_s(run, read_history(run, whole=False)) for run in runs)
    return spent(budget, len(begun), used, datetime.now(timezone.utc))


def _trial(
    sweep: SweepDir,
    number: int,
    values: dict[str, str],
    claim: dict[str, Any] | None,
    outcome: dict[str, Any] | None,
    objective: str,
) -> Trial:
    run = sweep.trial(number)
    begun = run.path.is_dir()
    held = claim is not None and claim["worker"] is not None
    over = outcome or (outcome_of(run, objective) if begun and held else None) or {}
    reported = (
        {
            int(step): value
            for step, value in over["intermediate"].items()
            if str(step).isdecimal() and math.isfinite(value)
        }
        if "intermediate" in over
        else reports(run, objective)
        if begun
        else {}
    )
    return Trial(
        number=number,
        overrides=dict(values),
        state=over.get("state", RUNNING if held else WAITING),
        value=over.get("value"),
        intermediate=reported,
        run_dir=run.path if begun else None,
        error=over.get("error"),
        started=over.get("started") or (claim or {}).get("time"),
        ended=over.get("ended"),
        held_s=_held_s(run, over),
    )


def _held_s(run: RunDir, over: dict[str, Any]) -> float | None:
    """Seconds for which an ended trial held its nodes, by its GPU seconds."""
    if "gpu_s" not in over:
        return None
    return over["gpu_s"] / gpus_held(run) if over["gpu_s"] and run.plan.is_file() else 0.0
