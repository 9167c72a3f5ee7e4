"""A run's checkpoints: which are committed, which are complete, and why each is kept."""

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from launcher.checkpoint.commit import retain
from launcher.checkpoint.find import Broken, Found, committed, find_all
from launcher.checkpoint.keep import reasons_to_keep
from launcher.checkpoint.verify import first_difference
from launcher.clusters.base import RunState
from launcher.errors import RunError
from launcher.run import RunDir
from launcher.status.state import read_status


@dataclass(frozen=True, slots=True)
class Retention:
    """How many checkpoints a run keeps, by its plan."""

    last: int
    every: int
    best: int


def read_retention(run: RunDir) -> Retention:
    """The retention in the run's plan; only the newest checkpoint if the plan has no saves."""
    save = run.read_json(run.plan).get("save") or {"keep_last": 1, "keep_every": 0, "keep_best": 0}
    return Retention(int(save["keep_last"]), int(save["keep_every"]), int(save["keep_best"]))


def prune(run: RunDir, keep: Retention) -> list[int]:
    """Deletes checkpoints and returns their steps; RunError while the run is not over: then it prunes by itself."""
    status = read_status(run)
    if status.state in (RunState.PENDING, RunState.RUNNING):
        raise RunError(
            f"{run.name} is {status.state.value} and keeps its own checkpoints in order; use --prune once it has ended"
        )
    return retain(run.checkpoints, keep.last, keep.every, keep.best)


def list_checkpoints(run: RunDir, keep: Retention, *, verify: bool) -> list[dict[str, Any]]:
    """One row per checkpoint, oldest first; `verify` reads every file and compares its digest."""
    kept = reasons_to_keep(
        [found.manifest for found in committed(run.checkpoints)], keep.last, keep.every, keep.best
    )
    return [
        _broken(found) if isinstance(found, Broken) else _row(found, kept, verify)
        for found in find_all(run.checkpoints)
    ]


def _row(found: Found, kept: dict[int, list[str]], verify: bool) -> dict[str, Any]:
    wrong = first_difference(found, sorted(found.manifest.files)) if verify else None
    age = datetime.now(timezone.utc) - datetime.fromisoformat(found.manifest.time)
    return {
        "step": found.manifest.step,
        "path": str(found.path),
        "age_s": round(age.total_seconds(), 1),
        "bytes": found.manifest.bytes,
        "committed": True,
        "verified": wrong is None if verify else None,
        "for": kept.get(found.manifest.step, []),
        "why": found.manifest.why,
        "eval_loss": found.manifest.eval_loss,
        "error": wrong,
    }


def _broken(found: Broken) -> dict[str, Any]:
    return {
        "step": None,
        "path": str(found.path),
        "age_s": None,
        "bytes": None,
        "committed": False,
        "verified": None,
        "for": [],
        "why": None,
        "eval_loss": None,
        "error": found.reason,
    }
