"""What is left of a job whose batch host is lost: a node that lives queues it again.

With spares a job is submitted with --no-kill, and Slurm then keeps it when any node fails: where that is the batch host, the
job holds its other nodes until its time limit, with nothing to lead them (seen with 22.05).
"""

import time
from collections.abc import Mapping

from launcher.clusters.slurm import Slurm, host_names
from launcher.clusters.submission import submitted
from launcher.errors import ClusterError
from launcher.run import RunDir
from launcher.run.events.supervisor import Requeued
from launcher.supervise.hosts import note_faults

_ASK_S = 5.0
_SILENT_S = 45.0
"""Seconds without an answer of Slurm's after which this node is the one that is cut off, and ends."""


def queue_again(run: RunDir, job_id: str, restart: int, index: int) -> None:
    """Returns once the job is over or queued again, or Slurm is silent; waits until that has found out of the lost batch host.

    `restart`: this start's SLURM_RESTART_COUNT; `index`: the node's, so that of several nodes the first does it.
    """
    slurm, waited, heard = Slurm(_ASK_S), False, time.monotonic()
    while True:
        facts = slurm.facts(job_id)
        if facts:
            heard = time.monotonic()
        if time.monotonic() - heard > _SILENT_S or (facts and not is_own(facts, restart)):
            return
        if facts and is_orphaned(facts["BatchHost"], host_names(facts["NodeList"])):
            if waited:
                break
            waited = True
            time.sleep(index)
            continue
        time.sleep(_ASK_S)
    host = facts["BatchHost"]
    note_faults([host], "lost", run.name)
    run.note(Requeued(attempt=run.attempts(), reason=f"{host}, the batch host, is lost"))
    try:
        slurm.requeue(job_id)
    except ClusterError:  # this site forbids it
        with submitted(slurm, run, f"--dependency=afterany:{job_id}", me=job_id):
            slurm.cancel(job_id)


def is_own(facts: Mapping[str, str], restart: int) -> bool:
    """Whether `scontrol show job` still speaks of this start of the job."""
    return facts.get("JobState") == "RUNNING" and int(facts.get("Restarts", "0")) == restart


def is_orphaned(batch_host: str, hosts: list[str]) -> bool:
    """Whether Slurm has taken the batch host out of the job."""
    return bool(hosts) and batch_host not in hosts
