"""Why a pending run waits, and when its cluster expects it to start."""

from dataclasses import dataclass
from datetime import datetime, timezone

from launcher.clusters.base import RunState
from launcher.clusters.registry import job_cluster
from launcher.errors import ClusterError
from launcher.run import RunDir
from launcher.status.run_status import Status
from launcher.units import duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What the scheduler says about a job in its queue."""

    reason: str | None
    """In the scheduler's words, such as Priority or Resources."""
    starts: str | None
    """When it is expected to start, ISO 8601, UTC."""

    def line(self, now: datetime) -> str:
        """The same as text."""
        said = self.reason or "the scheduler gives no reason"
        if self.starts is None:
            return f"{said}; no expected start is known"
        at = datetime.fromisoformat(self.starts)
        left = (at - now).total_seconds()
        within = f" (in {duration(left)})" if left > 0 else ""
        return f"{said}; expected to start {at.astimezone():%Y-%m-%d %H:%M}{within}"


def read_waiting(run: RunDir, status: Status) -> Waiting | None:
    """What the cluster says about the run's job; None for a run that is not in a queue, or if the cluster says nothing."""
    if status.state is not RunState.PENDING or status.job_id is None or not run.job.exists():
        return None
    try:
        cluster = job_cluster(str(run.read_json(run.job)["cluster"]))
        reason = cluster.reasons([status.job_id]).get(status.job_id)
        starts = cluster.expected_starts([status.job_id]).get(status.job_id)
    except ClusterError:
        return None
    if reason is None and starts is None:
        return None
    at = None if starts is None else datetime.fromtimestamp(starts, timezone.utc)
    return Waiting(reason=reason, starts=at.isoformat(timespec="seconds") if at else None)
