"""A run's checkpoints: which are committed, which are complete, and why each is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, TypedDict

from launcher.checkpoint.folders import (
    Broken,
    FoundCheckpoint,
    committed,
    find_all,
    first_difference,
    reasons_to_keep,
    retain,
)
from launcher.checkpoint.manifest import Manifest
from launcher.checkpoint.tasks import task_retention
from launcher.clusters.base import RunState
from launcher.config import read_config
from launcher.errors import RunError
from launcher.run import RunDir
from launcher.status.state import read_status

_For = TypedDict(
    "_For",
    {
        "for": Annotated[
            list[str], "Why the run's retention keeps it, such as newest or best; empty for none."
        ]
    },
)


class CheckpointRow(_For):
    """A checkpoint, or a folder that should be one and is damaged."""

    step: int | None
    """The step after which it was written; null for a damaged one."""
    path: str
    """Absolute path of its folder."""
    age_s: float | None
    """Seconds since it was written."""
    bytes: int | None
    """Its size."""
    committed: bool
    """Whether its manifest is in place and matches its files, so that a run can resume from it."""
    verified: bool | None
    """Whether every file has the digest of its manifest; null without --verify."""
    weights_only: bool | None
    """Whether it lacks the optimizer's state; null for a damaged one."""
    why: str | None
    """The occasion of the save, such as interval, told (before a shutdown) or end."""
    eval_loss: float | None
    """The evaluation loss at its step, if it was measured."""
    error: str | None
    """What is wrong with it, as a sentence."""


class Checkpoints(TypedDict):
    """The checkpoints of a run."""

    run: str
    """name/date_time."""
    deleted: list[int]
    """Steps of the checkpoints that --prune deleted."""
    checkpoints: list[CheckpointRow]
    """All that are left, oldest first."""


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
    return retain(run.checkpoints, keep.last, keep.every, keep.best, more=_kept_for_tasks(run))


def _kept_for_tasks(run: RunDir) -> "Callable[[Sequence[Manifest]], Mapping[int, list[str]]] | None":
    """What keeps checkpoints for the run's evaluations on tasks; None without them."""
    tasks = task_retention(read_config(str(run.config)), run) if run.config.is_file() else None
    return tasks.reasons if tasks is not None else None


def list_checkpoints(run: RunDir, keep: Retention, *, verify: bool) -> list[CheckpointRow]:
    """One row per checkpoint, oldest first; `verify` reads every file and compares its digest."""
    manifests = [found.manifest for found in committed(run.checkpoints)]
    kept = reasons_to_keep(manifests, keep.last, keep.every, keep.best)
    more = _kept_for_tasks(run)
    also: Mapping[int, list[str]] = more(manifests) if more else {}
    for step, reasons in also.items():
        kept[step] = [*kept.get(step, []), *reasons]
    return [
        _broken(found) if isinstance(found, Broken) else _row(found, kept, verify)
        for found in find_all(run.checkpoints)
    ]


def _row(found: FoundCheckpoint, kept: dict[int, list[str]], verify: bool) -> CheckpointRow:
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
        "weights_only": found.manifest.weights_only,
        "why": found.manifest.why,
        "eval_loss": found.manifest.eval_loss,
        "error": wrong,
    }


def _broken(found: Broken) -> CheckpointRow:
    return {
        "step": None,
        "path": str(found.path),
        "age_s": None,
        "bytes": None,
        "committed": False,
        "verified": None,
        "for": [],
        "weights_only": None,
        "why": None,
        "eval_loss": None,
        "error": found.reason,
    }
