"""What a place must be able to do, and what a run's state is called everywhere."""

from enum import Enum
from typing import Protocol

from launcher.run import RunDir


class RunState(Enum):
    """Where a run is, as far as can be told."""

    PLANNED = "planned"
    """Written, never submitted (dry_run=true)."""
    PENDING = "pending"
    """In the queue."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PRUNED = "pruned"
    """Ended early by its sweep."""
    TIMEOUT = "timeout"
    """Ended by the time limit."""
    LOST = "lost"
    """The place answered that it no longer knows the job, and the run dir does not say how it ended."""


class Cluster(Protocol):
    """A place where runs go. Every method may raise ClusterError."""

    @staticmethod
    def submit_command(run: RunDir) -> list[str]:
        """argv that submits the run; a dry run prints it."""
        ...

    def submit(self, run: RunDir) -> str:
        """The new job's id."""
        ...

    def state(self, job_id: str) -> RunState | None:
        """The job's state; None where the place did not answer or has no record, which concludes nothing."""
        ...

    def cancel(self, job_id: str) -> None:
        """Ends the job; nothing happens where it has ended."""
        ...
