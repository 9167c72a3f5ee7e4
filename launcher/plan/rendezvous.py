"""How the processes of a job find each other: the network, the ports, and the time until every node must have answered."""

import math
import re
from collections.abc import Mapping

from launcher import environment
from launcher.config import ClusterConfig, ContainerRuntime
from launcher.errors import PlanError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.timeouts import GATHER_IMAGE_S, GATHER_S

_PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")
_SUFFIX = re.compile(r"[A-Za-z0-9._-]*")
_INTERFACE = re.compile(r"[A-Za-z0-9._@-]{1,15}")
AUTO = "auto"
"""The value of cluster.interface that means the same as null."""
_DECIDED = {
    environment.MASTER_ADDR: "cluster.interface or cluster.host_suffix",
    environment.MASTER_PORT: "cluster.ports",
    **dict.fromkeys(
        (
            environment.RANK, environment.LOCAL_RANK, environment.GROUP_RANK, environment.WORLD_SIZE,
            environment.LOCAL_WORLD_SIZE,
        ),
        "resources.nodes and resources.gpus_per_node",
    ),
}  # fmt: skip
"""Variables with which the ranks meet, and the key that decides them."""
_FEWEST_PORTS = 16
"""A run needs at most four ports on a node at once, and others of the user's runs can share the node."""


@frozen_dataclass
class Rendezvous:
    """How the processes of a job find each other."""

    host_suffix: str
    """Text that a host's name gets on the network of the job; empty for none."""
    interface: str | None
    """Network interface whose address the nodes use; None for the one at which they reach the supervisor."""
    ports: tuple[int, int] | None
    """First and last port that may be used; None for any outside of the ephemeral range."""
    start_timeout_s: float
    """Seconds from the start of the job step until every node must have answered."""


def named_interface(cluster: ClusterConfig) -> str | None:
    """The network interface that the site names; None if it names none, or `auto`."""
    return None if cluster.interface == AUTO else cluster.interface


def check_decided(env: Mapping[str, str]) -> None:
    """PlanError for a variable of cluster.env that would be overwritten on the ranks, with the key that decides it."""
    for name in env:
        if key := _DECIDED.get(name):
            raise PlanError(f"cluster.env.{name} would be overwritten on the ranks; set {key} instead")
        if name.startswith("LAUNCHER_") or name == environment.USE_AGENT_STORE:
            raise PlanError(
                f"cluster.env.{name} belongs to the launcher itself and would be overwritten; take it out"
            )


def make_rendezvous(cluster: ClusterConfig) -> Rendezvous:
    """The rendezvous by the cluster's keys; PlanError for an invalid one."""
    if not _SUFFIX.fullmatch(cluster.host_suffix):
        raise PlanError(
            f"cluster.host_suffix={cluster.host_suffix!r} is not the end of a host name; use letters, digits, '.', '-' and '_'"
        )
    if cluster.interface is not None and not _INTERFACE.fullmatch(cluster.interface):
        raise PlanError(
            f"cluster.interface={cluster.interface!r} is not a network interface; use a name that `ip addr` shows, such as ib0"
        )
    image = cluster.container.runtime is not ContainerRuntime.none
    timeout = cluster.start_timeout_s
    if timeout is not None and not 0 < timeout < math.inf:
        raise PlanError(
            f"cluster.start_timeout_s={timeout:g} must be a number of seconds above 0, or null for the default"
        )
    return Rendezvous(
        host_suffix=cluster.host_suffix,
        interface=named_interface(cluster),
        ports=_ports(cluster.ports),
        start_timeout_s=timeout if timeout is not None else GATHER_IMAGE_S if image else GATHER_S,
    )


def _ports(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1024 <= first <= last - _FEWEST_PORTS + 1 <= 65_536 - _FEWEST_PORTS:
        raise PlanError(
            f"cluster.ports={text!r} must be FIRST-LAST, at least {_FEWEST_PORTS} ports from 1024 to 65535, such as 20000-20999"
        )
    return first, last
