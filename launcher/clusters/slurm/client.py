"""Actions on jobs: sbatch, scancel, scontrol requeue."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from launcher.clusters.base import AGAIN, Refused
from launcher.clusters.slurm.ask import ask, split, words_of
from launcher.clusters.slurm.shell import directives, for_sbatch
from launcher.errors import ClusterError

# "id;cluster" if sbatch was given a cluster, or the clusters are federated. Source: sbatch(1), --parsable.
_JOB_ID = re.compile(r"\d+(;\S+)?")


def submit_command(script: Path, *options: str) -> list[str]:
    """The argv of sbatch with a job script."""
    return ["sbatch", "--parsable", *options, str(script)]


def submit(script: Path, options: Sequence[str], keep_open: int | None, timeout_s: float) -> str:
    """The job id from sbatch. Refused with sbatch's own message if nothing was queued; after any other ClusterError a job can
    be queued."""
    kept = () if keep_open is None else (keep_open,)
    environ = for_sbatch(os.environ, directives(script))
    done = ask(submit_command(script, *options), timeout_s, kept, environ)
    if done is None:
        raise ClusterError(
            f"sbatch did not answer within {timeout_s:g} s but may have queued {script}; {AGAIN}"
        )
    if done.returncode and "timed out" in done.stderr:
        raise ClusterError(f"sbatch {script}: {words_of(done)}; the job may be queued all the same; {AGAIN}")
    if done.returncode:
        raise Refused(f"sbatch refused {script}: {words_of(done)}")
    # A site's wrapper can print lines of its own.
    job_ids = [line.strip() for line in done.stdout.splitlines() if _JOB_ID.fullmatch(line.strip())]
    if not job_ids:
        raise ClusterError(f"sbatch accepted {script} but printed no job id: {done.stdout.strip()!r}")
    return job_ids[-1]


def cancel(job_id: str, timeout_s: float) -> None:
    """Cancels the job with its batch script; ClusterError with scancel's message if scancel refuses."""
    number, cluster = split(job_id)
    done = ask(["scancel", *cluster, number], timeout_s)
    if done is None:
        raise ClusterError(
            f"scancel {job_id}: scancel is not installed or did not answer within {timeout_s:g} s"
        )
    ended = ("Invalid job id specified", "already completing or completed")
    if done.returncode and not any(words in done.stderr for words in ended):
        raise ClusterError(f"scancel refused job {job_id}: {words_of(done)}")


def signal(job_id: str, name: str, batch_only: bool, timeout_s: float) -> None:
    """Sends a signal to all processes of a job, as a pre-emption does, or only to the batch script, as before the time limit;
    ClusterError with scancel's message if it refuses."""
    number, cluster = split(job_id)
    whom = "--batch" if batch_only else "--full"
    done = ask(["scancel", f"--signal={name}", whom, *cluster, number], timeout_s)
    if done is None or done.returncode:
        raise ClusterError(f"scancel --signal={name} {whom} {job_id}: {words_of(done)}")


def requeue(job_id: str, timeout_s: float) -> None:
    """Ends the job and queues it again; ClusterError if this site does not allow it."""
    number, cluster = split(job_id)
    done = ask(["scontrol", *cluster, "requeue", number], timeout_s)
    if done is None or done.returncode:
        raise ClusterError(f"scontrol requeue {job_id}: {words_of(done)}")


def forbid_requeue(job_id: str, timeout_s: float) -> None:
    """Tells Slurm not to queue the job again by itself; if Slurm does not answer, the run's lease keeps the old job out."""
    number, cluster = split(job_id)
    ask(["scontrol", *cluster, "update", f"JobId={number}", "Requeue=0"], timeout_s)
