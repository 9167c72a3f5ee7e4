"""The insurance of a job that has lost its batch host: a job of the same run that starts when that one has ended, for whatever
reason (afterany), and that is cancelled when the run is over.

It is not the run's job until the run needs it: job.json does not name it, and no interrupted submission of the run takes it for
its own. Whoever decides that nobody needs it writes that down before its job is cancelled, so that a job that could not be
cancelled ends by itself when it starts (launcher.supervise.insurance).
"""

import os
from collections.abc import Iterable
from dataclasses import replace

from launcher.clusters.base import Cluster, RunState
from launcher.clusters.intent import Slot, interrupted, known_jobs, submitted_once
from launcher.errors import ClusterError
from launcher.run import RunDir, job_number
from launcher.run.insurance import (
    Insurance,
    InsuranceState,
    is_same_job,
    read_insurance,
    script_digest,
    write_insurance,
)

_ALIVE = (RunState.PENDING, RunState.RUNNING)


def queue_insurance(cluster: Cluster, run: RunDir, me: str) -> Insurance:
    """The insurance of job `me`, which this call is made from: the one that there is, else a new one.

    Refused if the cluster refuses it; any other ClusterError if it does not say whether it has it.
    """
    found = find_waiting(cluster, run, me)
    if found and not is_same_job(found.after, me):
        end_insurance(cluster, run, found)

    def submit(keep_open: int) -> str:
        other = _waiting(run)  # another supervisor of the job can have queued it since
        if other and other.job_id and is_same_job(other.after, me):
            return other.job_id
        new = Insurance(
            cluster=cluster.name, job_id=None, after=me, script=script_digest(run), state=InsuranceState.ASKED
        )
        write_insurance(run, new)
        return cluster.submit(run.job_script, after=me, keep_open=keep_open)

    if found is None or not is_same_job(found.after, me):
        with submitted_once(cluster, _slot(run), me, submit):
            pass
    found = _waiting(run)
    if found is None:
        raise ClusterError(f"{run.insurance} was changed while the insurance of job {me} was submitted")
    return found


def find_waiting(cluster: Cluster, run: RunDir, me: str = "") -> Insurance | None:
    """The insurance that waits for the run; None for none. ClusterError if a submission of it was interrupted, and the cluster
    cannot say whether it has the job. RunError if a file of it cannot be read. `me`: the job that this call is made from."""
    if os.path.lexists(run.insurance_intent):
        with interrupted(cluster, _slot(run), me):
            pass
    return _waiting(run)


def can_take(cluster: Cluster, run: RunDir, waiting: Insurance) -> bool:
    """Whether the insurance is in the queue, with the run's present job script. ClusterError if the cluster does not answer."""
    assert waiting.job_id
    if waiting.script != script_digest(run):
        return False
    state = cluster.state(waiting.job_id)
    if state is None:
        raise ClusterError(
            f"{cluster.title} does not say whether job {waiting.job_id}, the insurance of {run.name}, is in the queue; type "
            "the command again when it answers"
        )
    return state in _ALIVE


def take_insurance(run: RunDir, insurance: Insurance) -> None:
    """Notes that it is the run's own job from now on."""
    write_insurance(run, insurance.with_state(InsuranceState.TAKEN))


def end_insurance(cluster: Cluster, run: RunDir, insurance: Insurance) -> None:
    """Notes that it is not needed, and cancels its job. ClusterError if the cluster does not do that: then the job ends by
    itself when it starts."""
    write_insurance(run, insurance.with_state(InsuranceState.OVER))
    if insurance.job_id is None:
        return
    try:
        cluster.cancel(insurance.job_id)
    except ClusterError as error:
        raise ClusterError(
            f"{error}; job {insurance.job_id}, the insurance of {run.name}, ends by itself when it starts"
        ) from None


def insurance_numbers(run: RunDir) -> Iterable[str]:
    """The number of the job that is or was the run's insurance, unless the run has taken it. RunError as read_insurance."""
    found = read_insurance(run)
    if found is None or found.job_id is None or found.state is InsuranceState.TAKEN:
        return []
    return [job_number(found.job_id)]


def _waiting(run: RunDir) -> Insurance | None:
    found = read_insurance(run)
    return found if found and found.waiting else None


def _slot(run: RunDir) -> Slot:
    """The run's insurance."""

    def record(job_id: str) -> None:
        # who submits has written the rest before it called the scheduler
        asked = read_insurance(run)
        if asked and asked.state is InsuranceState.ASKED:
            write_insurance(run, replace(asked, job_id=job_id, state=InsuranceState.WAITS))

    def recorded() -> str | None:
        found = read_insurance(run)
        return found.job_id if found and found.state is InsuranceState.WAITS else None

    def others() -> Iterable[str]:
        own = str(run.read_json(run.job)["job_id"]) if run.job.exists() else ""
        return [*known_jobs(run), job_number(own)]

    return Slot(run=run, intent=run.insurance_intent, recorded=recorded, record=record, others=others)
