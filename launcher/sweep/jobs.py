"""The jobs of a sweep that are in the queue of its cluster, and whether its trials can be started from this machine."""

from collections.abc import Mapping
from typing import Any

from launcher.clusters.base import Cluster
from launcher.clusters.registry import find_cluster, make_cluster
from launcher.errors import ClusterError, ConfigError
from launcher.run import job_number
from launcher.sweep.folder import SweepDir


def check_starts(sweep: SweepDir, spec: Mapping[str, Any]) -> None:
    """ConfigError for a dry run, ClusterError if the trials cannot be started from here; called before anything changes."""
    if spec["dry_run"]:
        raise ConfigError(f"{sweep.name} was a dry run; run its command without dry_run=true")
    make_cluster(str(spec["cluster"]))


def queue_of(spec: Mapping[str, Any]) -> Cluster | None:
    """The cluster whose queue has the arrays of the sweep; None if its workers are processes of a command."""
    cluster = find_cluster(str(spec["cluster"]))
    if not cluster.queued:
        return None
    cluster.reach()
    return cluster


def queued_jobs(sweep: SweepDir, cluster: Cluster) -> list[str]:
    """Job numbers of the sweep's arrays that are still in the queue; ClusterError if the queue does not answer."""
    found = cluster.jobs_of(sweep.path)
    if found is None:
        raise ClusterError(
            f"{cluster.title} does not say whether it has jobs of {sweep.name}; run the command again later"
        )
    return list(dict.fromkeys(job_number(job_id) for job_id in found))
