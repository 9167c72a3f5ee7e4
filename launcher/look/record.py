"""What one node of the job has found; node I writes it as node_I.json."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(kw_only=True)
class Disk:
    """One folder of a node."""

    path: str
    kind: str
    """Type of its file system, as in /proc/mounts."""
    free_gb: float
    write_gb_s: float | None = None
    """None if the folder could not be written."""
    read_gb_s: float | None = None


@dataclass(kw_only=True)
class Interface:
    """One network interface of a node."""

    name: str
    addresses: list[str]
    fast: bool
    """Whether it is InfiniBand, or an HPE Slingshot interface."""
    speed_gb_s: float | None
    """The speed that the interface reports; None if it reports none."""


@dataclass(kw_only=True)
class Link:
    """A connection from this node to node 0 over one interface of both."""

    interface: str
    address: str
    problem: str = ""
    """Why the connection failed; empty if it works."""
    gb_s: float | None = None
    """Speed of one TCP connection."""
    clock_s: float | None = None
    """Node 0's clock minus this node's."""


@dataclass(kw_only=True)
class Gpus:
    """The GPUs that the job sees on a node."""

    vendor: str
    names: list[str]
    memory_gib: float
    """Memory of the smallest GPU."""
    context_gib: float | None = None
    """GPU memory of a process without tensors; None where torch could not be asked."""
    link_gb_s: float | None = None
    """Speed of a copy from the first GPU to the second; None with one GPU, or without torch."""


@dataclass(kw_only=True)
class NodeRecord:
    """What one node has found."""

    index: int
    host: str
    python: str
    architecture: str
    torch: str | None
    """Version of torch; None if it is not installed for this interpreter."""
    cores: int
    """Cores of this node that the job has."""
    ib_gb_s: float
    """Sum of the rates of its active InfiniBand ports."""
    limits: list[str]
    """A text for each hard limit that is too low."""
    gpus: Gpus | None = None
    interfaces: list[Interface] = field(default_factory=list[Interface])
    links: list[Link] = field(default_factory=list[Link])
    name_of_first: str = ""
    """The address to which node 0's name resolves here, or the reason why it does not resolve."""
    disks: list[Disk] = field(default_factory=list[Disk])

    def write(self, folder: Path) -> None:
        """Writes the record atomically."""
        path = folder / f"node_{self.index}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        temporary.rename(path)


def read_records(folder: Path) -> list[NodeRecord]:
    """The records of a finished job, by node."""
    found: list[NodeRecord] = []
    for path in sorted(folder.glob("node_*.json")):
        data: dict[str, Any] = json.loads(path.read_text())
        data["gpus"] = Gpus(**data["gpus"]) if data["gpus"] else None
        data["interfaces"] = [Interface(**one) for one in data["interfaces"]]
        data["links"] = [Link(**one) for one in data["links"]]
        data["disks"] = [Disk(**one) for one in data["disks"]]
        found.append(NodeRecord(**data))
    return sorted(found, key=lambda one: one.index)
