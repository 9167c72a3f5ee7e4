"""The process that trains trials of a sweep: its identity in a claim, and whether it has ended."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.clusters.base import RunState
from launcher.clusters.choose import job_cluster
from launcher.clusters.job import Job
from launcher.errors import ClusterError
from launcher.processes import start_ticks


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
