"""All clusters, found by name, and the choice of a run's cluster."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from launcher.clusters.base import Cluster
from launcher.registry import Registry

CLUSTERS = Registry(
    kind="cluster",
    key="cluster.kind",
    package="launcher.clusters",
    group="launcher.clusters",
    spec=Cluster,
    skipped=frozenset(
        {
            "base",
            "pure",
            "job",
            "registry",
            "submission",
            "cluster_file",
            "site_facts",
            "site_file",
            "site_check",
            "site_here",
        }
    ),
)
_AUTO = "auto"


@cache
def find_cluster(name: str) -> Cluster:
    """The cluster of that name; ConfigError if there is none."""
    return CLUSTERS.find(name)


def choose_kind(kind: str, environ: Mapping[str, str]) -> str:
    """The name of the cluster: `kind` itself, or for `auto` the first of this project's clusters that is available here.
    ConfigError for an unknown name."""
    if kind != _AUTO:
        return find_cluster(kind).name
    own = [find_cluster(name) for name in CLUSTERS.own_names()]
    ordered = sorted((cluster.auto_order, cluster.name) for cluster in own if cluster.auto_order is not None)
    return next(name for _, name in ordered if find_cluster(name).is_here(environ))


def queue_kind() -> str:
    """The name of this project's first cluster with a queue, for plans where no cluster is named or found."""
    own = [find_cluster(name) for name in CLUSTERS.own_names()]
    queues = [(one.auto_order, one.name) for one in own if one.queued and one.auto_order is not None]
    return min(queues)[1]


def make_cluster(kind: str) -> Cluster:
    """The cluster of that name; ClusterError if this process cannot start a run there."""
    cluster = find_cluster(kind)
    cluster.check_start(os.environ)
    return cluster


def job_cluster(kind: str) -> Cluster:
    """The cluster to ask about a job that was started earlier; ClusterError if this machine cannot ask it."""
    cluster = find_cluster(kind)
    cluster.reach()
    return cluster


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA or an AMD GPU. Source: AMD's ROCm manual: /dev/kfd is the device of its driver."""
    return any(Path(path).exists() for path in ("/dev/nvidia0", "/proc/driver/nvidia/gpus", "/dev/kfd"))
