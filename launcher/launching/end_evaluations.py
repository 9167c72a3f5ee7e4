"""Cancels the evaluations of a run that are queued or running (eval_job)."""

from launcher.clusters.base import RunState
from launcher.clusters.registry import job_cluster
from launcher.run import RunDir
from launcher.run.evaluations import Settled, evaluation_folders, read_asked, read_settled, write_settled
from launcher.run.events.launching import EvalJobFailed
from launcher.status.state import is_over


def cancel_evaluations(run: RunDir) -> list[str]:
    """The jobs that were cancelled. ClusterError if the cluster does not answer."""
    cancelled: list[str] = []
    for step, folder in evaluation_folders(run):
        asked = read_asked(folder)
        if asked is None or not folder.job.is_file() or read_settled(run, step) is not None:
            continue
        job = folder.read_json(folder.job)
        cluster, job_id = job_cluster(str(job["cluster"])), str(job["job_id"])
        state: RunState | None = cluster.state(job_id)
        if state is not None and is_over(state):
            continue
        cluster.cancel(job_id)
        write_settled(
            run, step, Settled(saved=asked, scores={}, higher_is_better={}, failed="cancelled with its run")
        )
        run.note(
            EvalJobFailed(
                attempt=run.attempts(), step=step, reason=f"job {job_id} was cancelled with its run"
            )
        )
        cancelled.append(job_id)
    return cancelled
