"""Cancels a run's job on request."""

import socket
from dataclasses import dataclass

from launcher.clusters.choose import job_cluster
from launcher.clusters.local import process_id
from launcher.errors import RunError
from launcher.launching.write import settle
from launcher.run import RunDir, job_number
from launcher.run.events import launching
from launcher.run.events.supervisor import Started
from launcher.status.state import is_over, read_status


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledJob:
    """The cancelled job."""

    job_id: str
    was_over: bool
    state: str
    """The run's state before the cancel."""


def cancel(run: RunDir) -> CancelledJob:
    """Cancels the job, unless it is over; RunError if there is none, or if it runs on another machine."""
    settle(run)
    before = read_status(run)
    if before.job_id is None:
        raise RunError(f"{run.name} has no job to cancel: it was never submitted")
    over = is_over(before.state)
    if not over:
        job = run.read_json(run.job)
        cluster = job_cluster(str(job["cluster"]))
        asked = before.job_id
        if cluster.one_machine:
            _check_host(run)
            same = job_number(str(job["job_id"])) == asked
            asked = process_id(asked, job.get("started") if same else None)
        cluster.cancel(asked)
        run.note(launching.Cancelled(attempt=before.attempts, job_id=before.job_id))
    return CancelledJob(job_id=before.job_id, was_over=over, state=before.state.value)


def _check_host(run: RunDir) -> None:
    """Raises RunError if the run's process is on another machine."""
    started, here = run.read_events(Started), socket.gethostname()
    host = started[-1].host if started else None
    if host not in (None, here):
        raise RunError(f"{run.name} runs on {host}, and this is {here}; run the command there")
