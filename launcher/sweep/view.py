"""A sweep as JSON and as a table: every trial with its values, its state and its result."""

import dataclasses
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from launcher.output import visible
from launcher.sweep.folder import SweepDir
from launcher.sweep.outcome import CANCELLED, FAILED, FINISHED, PRUNED, RUNNING, STATES, WAITING
from launcher.sweep.printed import SweepState
from launcher.sweep.read import Sweep, Trial, why_spent

_STYLES = {
    FINISHED: "green",
    RUNNING: "cyan",
    PRUNED: "dim",
    FAILED: "red",
    CANCELLED: "yellow",
    WAITING: "dim",
}
ROWS = 40


def sweep_dict(sweep: SweepDir, now: Sweep) -> dict[str, Any]:
    """The sweep as JSON values."""
    best = now.best
    state: SweepState = {
        "path": str(now.path),
        "counts": {state: now.count(state) for state in STATES},
        "best": best.number if best else None,
        "job_ids": _job_ids(sweep),
    }
    return {
        **{key: value for key, value in dataclasses.asdict(now).items() if key != "trials"},
        **state,
        "trials": [
            {**dataclasses.asdict(trial), "run_dir": str(trial.run_dir) if trial.run_dir else None}
            for trial in now.trials
        ],
    }


def view(now: Sweep, *, every: bool) -> Group:
    """The sweep as a table: failed trials first, then those that run, then finished ones, the best first."""
    table = Table()
    for name in ("trial", *now.parameters, "state", now.objective, "step", "error"):
        table.add_column(Text(visible(name)))
    best = now.best
    shown = sorted(now.trials, key=lambda trial: _order(now, trial))[: None if every else ROWS]
    for trial in shown:
        step, last = next(reversed(trial.intermediate.items()), (None, None))
        value = trial.value if trial.value is not None else last
        mark = " *" if best is not None and trial.number == best.number else ""
        table.add_row(
            f"{trial.number}{mark}",
            *(Text(visible(trial.overrides.get(key, ""))) for key in now.parameters),
            Text(trial.state, style=_STYLES[trial.state]),
            "" if value is None else f"{value:.4f}",
            "" if step is None else str(step),
            Text(visible(trial.error or "")),
        )
    counts = "  ".join(f"{number} {state}" for state in STATES if (number := now.count(state)))
    hidden = len(now.trials) - len(shown)
    below = f"{hidden} more; --all shows them" if hidden else ""
    found = f"  best {best.value:.4f} (trial {best.number})" if best and best.value is not None else ""
    head = Text(f"{now.name}  {counts}{found}")
    return Group(head, table, *([Text(below)] if below else []))


def _order(now: Sweep, trial: Trial) -> tuple[int, float, int]:
    ranks = (FAILED, RUNNING, FINISHED, PRUNED, CANCELLED, WAITING)
    sign = 1 if now.direction == "minimize" else -1
    return ranks.index(trial.state), sign * (trial.value or 0.0), trial.number


def is_over(sweep: SweepDir, now: Sweep) -> bool:
    """Whether no trial is left that would run."""
    if now.count(RUNNING):
        return False
    if sweep.stop.exists():
        return True
    return not now.count(WAITING) and (now.sampler == "grid" or why_spent(sweep) is not None)


def _job_ids(sweep: SweepDir) -> list[str]:
    return (
        [one["job_id"] for one in sweep.as_run.read_json(sweep.jobs)["arrays"]] if sweep.jobs.exists() else []
    )
