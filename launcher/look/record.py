"""What one node of the job has found; node I writes it as node_I.json."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from launcher.errors import RunError
from launcher.reading import read_json
from launcher.run.kinds import fits

T = TypeVar("T")


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
    """The records of a finished job, by node; RunError for a file that no node has written."""
    return sorted((_read(path) for path in folder.glob("node_*.json")), key=lambda one: one.index)


def _read(path: Path) -> NodeRecord:
    data = read_json(path)
    try:
        made = {**data, "gpus": _made(Gpus, data["gpus"]) if data["gpus"] else None}
        for key, kind in (("interfaces", Interface), ("links", Link), ("disks", Disk)):
            made[key] = [_made(kind, one) for one in data[key]]
        return _made(NodeRecord, made)
    except TypeError as error:
        raise RunError(f"{path} is not a valid record of a node ({error}); was it edited?") from None


def _made(kind: type[T], values: Mapping[str, Any]) -> T:
    """An object of these values; TypeError for a value that has another type than its field."""
    if not fits(values, get_type_hints(kind)):
        raise TypeError(f"a value of {kind.__name__} has another type")
    return kind(**values)
