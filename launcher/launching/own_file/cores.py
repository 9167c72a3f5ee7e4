"""How many cores a job requests with each GPU: what the nodes of this site have, where its scheduler can be asked."""

import os

from launcher.clusters.registry import find_cluster, queue_kind
from launcher.errors import ClusterError

_USUAL = 8
_ANSWER_S = 2.0
"""Seconds to wait for the scheduler's answer."""


def cores_per_gpu() -> tuple[int, str]:
    """The number, and where it comes from."""
    unknown = (_USUAL, "cores that a job requests with each GPU; no more than a node has for each")
    cluster = find_cluster(queue_kind())
    if not cluster.is_here(os.environ):
        return unknown
    try:
        known = cluster.with_timeout(_ANSWER_S).partitions()
    except ClusterError:
        return unknown
    with_gpus = [one for one in known if one.gpus and one.cpus]
    if not with_gpus:
        return unknown
    part = max(with_gpus, key=lambda one: (one.available, one.is_default, one.nodes))
    gpus = max(part.gpus.values())
    share = max(1, part.cpus // gpus)
    return share, f"a node of partition {part.name} has {part.cpus} cores and {gpus} GPUs"
