"""All clusters, found by name."""

from functools import cache

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
            "job",
            "registry",
            "choose",
            "submission",
            "cluster_file",
            "site_facts",
            "site_file",
            "site_check",
        }
    ),
)


@cache
def find_cluster(name: str) -> Cluster:
    """The cluster of that name; ConfigError if there is none."""
    return CLUSTERS.find(name)
