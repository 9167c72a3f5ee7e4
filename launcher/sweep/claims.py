"""Claims of workers on trials. Two workers never have the same trial, on any shared file system that has hard links.

claims/N.G.json is created atomically, by a hard link that fails if the name exists. The newest generation G counts. A
trial is given up, or taken over from a worker that has ended, by a claim of the next generation. filelock is not used:
a claim names its worker and outlives the process, which a requeue needs; a lock of filelock ends with the process.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from launcher.clusters.base import RunState
from launcher.clusters.job import Job
from launcher.clusters.registry import job_cluster
from launcher.errors import ClusterError, RunError
from launcher.processes import start_ticks
from launcher.reading import read_json
from launcher.run import now, write_text
from launcher.run.kinds import CLAIM, fits
from launcher.run.locks import create_new
from launcher.sweep.folder import SweepDir

_KEPT = ("values", "params")
"""Keys that later claims keep, because the values that a sampler chose belong to the trial and not to the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker: a process that trains trials."""

    task: str | None
    """Id of its task in the sweep's array, which a requeue does not change. None outside of an array."""
    host: str
    pid: int
    started: int | None
    """Start time in ticks since boot, which distinguishes it from a later process with the same id."""

    @classmethod
    def here(cls, job: Job | None) -> "Worker":
        """This process, in that job."""
        return cls(
            task=job.id if job and job.index is not None else None,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=start_ticks(os.getpid()),
        )


def is_gone(kind: str, worker: Mapping[str, Any]) -> bool:
    """Whether the worker of a claim has certainly ended; `kind` is the cluster of the sweep."""
    if worker["task"]:
        try:
            state = job_cluster(kind).state(str(worker["task"]))
        except ClusterError:
            return False
        return state not in (None, RunState.RUNNING, RunState.PENDING)
    here = worker["host"] == socket.gethostname()
    return here and start_ticks(int(worker["pid"])) != worker["started"]


def read_claims(sweep: SweepDir) -> dict[int, dict[str, Any]]:
    """The newest claim of every trial that has one."""
    newest: dict[int, int] = {}
    try:
        names = [path.name for path in sweep.claims.iterdir()]
    except FileNotFoundError:
        return {}
    for name in names:
        number, _, rest = name.partition(".")
        generation, _, ending = rest.partition(".")
        if ending == "json" and number.isdigit() and generation.isdigit():
            newest[int(number)] = max(int(generation), newest.get(int(number), 0))
    return {number: _read(sweep, number, generation) for number, generation in sorted(newest.items())}


def read_claim(sweep: SweepDir, number: int) -> dict[str, Any] | None:
    """A trial's newest claim."""
    generation = -1
    while (sweep.claims / f"{number}.{generation + 1}.json").exists():
        generation += 1
    return _read(sweep, number, generation) if generation >= 0 else None


def claim(
    sweep: SweepDir, number: int, worker: Worker, gone: Callable[[Mapping[str, Any]], bool] | None = None
) -> bool:
    """Whether this worker has the trial now. A trial of another worker is taken only if `gone` is true for that worker."""
    before = read_claim(sweep, number)
    holder = before["worker"] if before else None
    if holder is not None and (gone is None or not gone(holder)):
        return False
    kept = {key: before[key] for key in _KEPT if key in before} if before else {}
    generation = before["generation"] + 1 if before else 0
    return _make(sweep, number, generation, {**kept, "worker": asdict(worker), "time": now()})


def give_up(sweep: SweepDir, number: int) -> None:
    """Lets any worker claim the trial again; does nothing if no worker has it."""
    before = read_claim(sweep, number)
    if before is not None and before["worker"] is not None:
        kept = {key: before[key] for key in _KEPT if key in before}
        _make(sweep, number, before["generation"] + 1, {**kept, "worker": None, "time": now()})


def note(sweep: SweepDir, number: int, **facts: Any) -> None:
    """Adds facts, such as the values that a sampler chose, to the worker's own claim."""
    before = read_claim(sweep, number)
    assert before is not None
    path = sweep.claims / f"{number}.{before['generation']}.json"
    whole = {key: value for key, value in {**before, **facts}.items() if key != "generation"}
    write_text(path, json.dumps(whole) + "\n", durable=True)


def own(sweep: SweepDir, worker: Worker) -> list[int]:
    """The unfinished trials that this array task had before it was queued again."""
    if worker.task is None:
        return []
    return [
        number
        for number, found in read_claims(sweep).items()
        if (holder := found["worker"])
        and holder["task"] == worker.task
        and not (sweep.outcomes / f"{number}.json").exists()
    ]


def _make(sweep: SweepDir, number: int, generation: int, content: Mapping[str, Any]) -> bool:
    sweep.claims.mkdir(exist_ok=True)
    path = sweep.claims / f"{number}.{generation}.json"
    return create_new(path, json.dumps(content) + "\n")


def _read(sweep: SweepDir, number: int, generation: int) -> dict[str, Any]:
    """A claim. An empty or invalid one, which a loss of power can leave, names no worker: the next worker takes the trial."""
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError, RunError):
        value = read_json(sweep.claims / f"{number}.{generation}.json")
        found = cast("dict[str, Any]", value) if fits(value, CLAIM) else {}
    return {"worker": None, "time": "", **found, "generation": generation}
