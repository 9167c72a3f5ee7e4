"""The end of a run's job, asked for by a person."""

import socket
from dataclasses import dataclass

from launcher.clusters.choose import job_cluster
from launcher.errors import RunError
from launcher.launching.write import settle
from launcher.run import RunDir
from launcher.run.events import launching
from launcher.run.events.supervisor import Started
from launcher.status.state import is_over, read_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What was told to end."""

    job_id: str
    was_over: bool
    state: str
    """The run's state before."""


def cancel(run: RunDir) -> Cancelled:
    """The job, told to end where it has not ended; RunError where there is none, or where it runs on another machine."""
    settle(run)
    before = read_status(run)
    if before.job_id is None:
        raise RunError(f"{run.name} has no job to cancel: it was never submitted")
    over = is_over(before.state)
    if not over:
        cluster = job_cluster(str(run.read_json(run.job)["cluster"]))
        if cluster.one_machine:
            _check_host(run)
        cluster.cancel(before.job_id)
        run.note(launching.Cancelled(attempt=before.attempts, job_id=before.job_id))
    return Cancelled(job_id=before.job_id, was_over=over, state=before.state.value)


def _check_host(run: RunDir) -> None:
    """RunError on a machine that the run's process is not on."""
    started, here = run.read_events(Started), socket.gethostname()
    host = started[-1].host if started else None
    if host not in (None, here):
        raise RunError(f"{run.name} runs on {host}, and this is {here}; type the command there")
