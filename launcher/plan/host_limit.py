"""The limit of the host memory that a run can use on a node."""

from launcher.config import Config

ASKED, HAS = "resources.memory_gib", "cluster.node_memory_gib"


def host_limit(config: Config) -> tuple[str, float] | None:
    """(key, GiB) of the smaller of what the run requests and what a node has; None if neither is set.

    resources.memory_gib=0 requests all memory of a node.
    """
    asked, has = config.resources.memory_gib, config.cluster.node_memory_gib
    given = [(HAS, has), (ASKED, float(asked) if asked else None)]
    known = [(key, value) for key, value in given if value is not None]
    return min(known, key=lambda one: one[1], default=None)
