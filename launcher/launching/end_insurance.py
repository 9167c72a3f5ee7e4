"""Cancels the job that waits as the insurance of a run."""

import os

from launcher.clusters.insurance import end_insurance, find_waiting
from launcher.clusters.registry import job_cluster
from launcher.run import RunDir


def cancel_insurance(run: RunDir) -> str | None:
    """The job that was cancelled; None if none waits. ClusterError if the cluster does not answer, RunError if insurance.json
    was edited."""
    if not (os.path.lexists(run.insurance) or os.path.lexists(run.insurance_intent)):
        return None
    cluster = job_cluster(str(run.read_json(run.plan)["cluster"]))
    found = find_waiting(cluster, run)
    if found is None:
        return None
    end_insurance(cluster, run, found)
    return found.job_id
