"""leader.json: where the agents of a job find the supervisor that leads them, or that wants to.

A candidate writes it before it has claimed its term, because it needs the agents first. It proves itself to each agent by the
key of the job, as every supervisor does; the file is only an address.
"""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from launcher.clusters.base import Cluster
from launcher.errors import RunError
from launcher.processes import is_stopped, start_ticks
from launcher.reading import read_json
from launcher.run import RunDir, write_text
from launcher.run.record import is_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """A supervisor, as leader.json names it."""

    first: str
    """The nonce of the job's first supervisor."""
    term: int
    """Its term, from 1."""
    claimed: bool
    """Whether it leads; False for a candidate."""
    index: int
    """The index of its node in the job step."""
    host: str
    """The scheduler's name of its node."""
    pid: int
    started: int
    """Start time of the process in clock ticks since boot."""
    batch: bool
    """Whether the batch script has started it, and not an agent."""
    addresses: str
    """Where it listens, in the form of LAUNCHER_SUPERVISOR."""

    def ended_here(self, host: str) -> bool:
        """Whether it was started by the batch script of this host, and has ended."""
        return self.batch and self.host == host and start_ticks(self.pid) != self.started

    def stopped_here(self, host: str) -> bool:
        """Whether it is a process of this host that a signal has stopped."""
        return self.host == host and start_ticks(self.pid) == self.started and is_stopped(self.pid)


_KINDS: Mapping[str, Any] = {
    "first": str, "term": int, "claimed": bool, "index": int, "host": str, "pid": int, "started": int, "batch": bool,
    "addresses": str,
}  # fmt: skip


def this_process(
    cluster: Cluster, first: str, term: int, addresses: str, *, claimed: bool, batch: bool
) -> Leader:
    """This process as a leader or a candidate."""
    return Leader(
        first=first,
        term=term,
        claimed=claimed,
        index=0 if batch else cluster.node_index(os.environ),
        host=cluster.host(os.environ) or socket.gethostname(),
        pid=os.getpid(),
        started=start_ticks(os.getpid()) or 0,
        batch=batch,
        addresses=addresses,
    )


def write_leader(run: RunDir, leader: Leader) -> None:
    """Replaces leader.json."""
    write_text(run.leader, json.dumps(asdict(leader)) + "\n", durable=True)


def read_leader(run: RunDir, first: str) -> Leader | None:
    """The leader or candidate of the job whose first supervisor had that nonce; None if there is none, or if the file cannot be
    read or is not valid."""
    try:
        found = read_json(run.leader)
    except (OSError, RunError):
        return None
    if not isinstance(found, dict):
        return None
    values = cast("dict[str, Any]", found)
    if any(name not in values or not is_kind(values[name], kind) for name, kind in _KINDS.items()):
        return None
    leader = Leader(**{name: values[name] for name in _KINDS})
    return leader if leader.first == first and leader.term > 0 and leader.pid > 0 else None
