"""A job that has lost its batch host: one of its remaining nodes queues it again.

If the cluster keeps a job when any node fails (Cluster.keeps_job_without_batch_host), a job without its batch host would hold
its other nodes until its time limit, without a leader.
"""

import time

from launcher.clusters.base import Cluster
from launcher.clusters.job import Job, JobRecord
from launcher.clusters.submission import submitted
from launcher.errors import ClusterError
from launcher.output import say
from launcher.run import RunDir
from launcher.run.events.supervisor import Requeued
from launcher.run.history import HistoryReader
from launcher.run.insurance import is_insured
from launcher.run.totals import Standing, standing
from launcher.supervise.hosts import note_faults
from launcher.supervise.insurance import set_aside_odd
from launcher.supervise.lease import newest_heartbeat
from launcher.timeouts import LEASE_HEARTBEAT_S

_ASK_S = 5.0
_LED_S = 3 * LEASE_HEARTBEAT_S
"""Seconds in which a supervisor that leads the job shows that it does."""
_LET_S = 60.0
"""Seconds for which a supervisor may take to end the job, once it has written that it will."""
_SILENT_S = 45.0
"""Seconds without an answer of the cluster after which this node counts as cut off itself, and ends."""


def queue_again(run: RunDir, cluster: Cluster, job: Job, index: int) -> None:
    """Returns once the job is over or queued again, another node leads it, or the cluster does not answer.

    It waits until the cluster has noticed that the batch host is lost. `index` is the index of this node: of several nodes, the
    first queues the job again.
    """
    cluster, waited, begun = cluster.with_timeout(_ASK_S), False, time.monotonic()
    heard, heartbeat = begun, newest_heartbeat(run)
    while True:
        if (now := newest_heartbeat(run)) != heartbeat and None not in (now, heartbeat):
            say("another node leads the job, which this one does not reach")
            return
        heartbeat = now
        record = cluster.record(job.id)
        if record:
            heard = time.monotonic()
        if time.monotonic() - heard > _SILENT_S or (record and not is_own(record, job.restart)):
            return
        if record and is_orphaned(record.batch_host, cluster.hosts(record.nodes)):
            if waited and _is_ending(run) and time.monotonic() < begun + _LET_S:
                time.sleep(_ASK_S)
                continue
            if waited:
                break
            waited = True
            time.sleep(_LED_S + index)
            continue
        time.sleep(_ASK_S)
    note_faults([record.batch_host], "lost", run.name)
    run.note(Requeued(attempt=run.attempts(), reason=f"{record.batch_host}, the batch host, is lost"))
    set_aside_odd(run)
    if job.index is None and is_insured(run):
        with submitted(cluster, run, after=job.id, me=job.id):
            cluster.cancel(job.id)
        return
    try:
        cluster.requeue(job.id)
    except ClusterError:  # this site forbids it
        with submitted(cluster, run, after=job.id, me=job.id):
            cluster.cancel(job.id)


def _is_ending(run: RunDir) -> bool:
    """Whether a supervisor has written that the run is over or queued again: it ends the job itself."""
    return standing(HistoryReader(run, metrics=False).read()) is not Standing.RUNNING


def is_own(record: JobRecord, restart: int) -> bool:
    """Whether the cluster's record is still of this start of the job."""
    return record.running and record.restarts == restart


def is_orphaned(batch_host: str, hosts: list[str]) -> bool:
    """Whether the cluster has removed the batch host from the job."""
    return bool(hosts) and batch_host not in hosts
