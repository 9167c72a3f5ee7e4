"""Submission of a run's job: the one that waits as its insurance, if that fits, else a new one (launcher.clusters.intent)."""

import contextlib
import os
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING

from launcher.clusters.base import Cluster
from launcher.clusters.intent import Slot, follows, interrupted, submitted_once
from launcher.errors import ClusterError, RunError
from launcher.output import say
from launcher.run import JOB_SCRIPT, RunDir

if TYPE_CHECKING:  # few runs have an insurance
    from launcher.run.insurance import Insurance


@contextlib.contextmanager
def submitted(
    cluster: Cluster,
    run: RunDir,
    *,
    after: str | None = None,
    avoid: Sequence[str] = (),
    array: str | None = None,
    me: str = "",
    script: str = JOB_SCRIPT,
) -> Generator[str]:
    """The id of the run's new job, or of the job that an interrupted earlier call queued; it is recorded in the run dir.

    The submission is complete when the body of the `with` has ended. `me` is the job that this call is made from, if any.
    `after`, `avoid` and `array` are those of Cluster.submit. The job that waits as the run's insurance becomes its job, if it
    has no host to avoid and was submitted with the same script; else it is cancelled once the new job is queued.
    ClusterError if the cluster refuses the job, or cannot say whether it already has it.
    """
    waiting = _find_waiting(cluster, run, me)
    if waiting and not avoid and not run.intent.exists() and _take(cluster, run, waiting):
        assert waiting.job_id
        yield waiting.job_id
        return

    def submit(keep_open: int) -> str:
        return cluster.submit(run.path / script, after=after, avoid=avoid, array=array, keep_open=keep_open)

    with submitted_once(cluster, _slot(cluster, run), me, submit) as job_id:
        if waiting:
            _end(cluster, run, waiting)
        yield job_id


@contextlib.contextmanager
def cut_short(cluster: Cluster, run: RunDir) -> Generator[str | None]:
    """The job of an interrupted submission of the run, recorded in the run dir; None if there is none.

    ClusterError if the cluster cannot say.
    """
    with interrupted(cluster, _slot(cluster, run)) as job_id:
        yield job_id


def complete(cluster: Cluster, run: RunDir, job_id: str) -> None:
    """Completes the submission of this job, which now runs: Slurm can end the job before it while that one submits it.

    A launch's submission is left to the launch, which is told the job when it is typed again.
    """
    if not run.intent.exists() or not follows(run, job_id):
        return
    try:
        with interrupted(cluster, _slot(cluster, run), wait_s=0.0):
            pass
    except (ClusterError, RunError) as error:
        say(str(error))


def _slot(cluster: Cluster, run: RunDir) -> Slot:
    """The run's own job."""

    def recorded() -> str | None:
        return str(run.read_json(run.job)["job_id"]) if run.job.exists() else None

    return Slot(
        run=run,
        intent=run.intent,
        recorded=recorded,
        record=lambda job_id: run.note_job(cluster.name, job_id),
        others=lambda: _insurance_numbers(run),
    )


def _has_insurance(run: RunDir) -> bool:
    """Whether the run has or had an insurance; a run that has none imports no module of it."""
    return os.path.lexists(run.insurance) or os.path.lexists(run.insurance_intent)


def _find_waiting(cluster: Cluster, run: RunDir, me: str) -> "Insurance | None":
    if not _has_insurance(run):
        return None
    from launcher.clusters.insurance import find_waiting

    return find_waiting(cluster, run, me)


def _take(cluster: Cluster, run: RunDir, waiting: "Insurance") -> bool:
    """Makes the insurance the run's job, if it is in the queue with the run's present job script; whether it is."""
    from launcher.clusters.insurance import can_take, take_insurance

    if not can_take(cluster, run, waiting):
        return False
    assert waiting.job_id
    run.note_job(cluster.name, waiting.job_id)
    take_insurance(run, waiting)
    return True


def _end(cluster: Cluster, run: RunDir, waiting: "Insurance") -> None:
    """Cancels the insurance; what prevents it is told."""
    from launcher.clusters.insurance import end_insurance

    try:
        end_insurance(cluster, run, waiting)
    except ClusterError as error:
        say(str(error))


def _insurance_numbers(run: RunDir) -> Iterable[str]:
    if not _has_insurance(run):
        return []
    from launcher.clusters.insurance import insurance_numbers

    return insurance_numbers(run)
