"""The pieces of the kit, each a process of under ten minutes whose result is a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.gpu import machine, memory, saves, smoke, speed
from tests.gpu.place import Place

LIMIT_S = 570.0
"""Seconds after which a piece is ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One measurement."""

    group: str
    name: str
    work: Callable[[Place], dict[str, Any]]

    @property
    def title(self) -> str:
        """Its name among all pieces."""
        return f"{self.group} {self.name}"

    @property
    def file(self) -> str:
        """The name of the file of its result."""
        return f"{self.title.replace(' ', '_')}.json"


def all_pieces() -> Iterator[Piece]:
    """Every piece; the machine and what shows most come first."""
    yield Piece(group="machine", name="and its rates", work=machine.describe)
    for group, names, work in (
        ("smoke", smoke.names(), smoke.try_one),
        ("load", ["8B", "70B"], memory.load_in_nf4),
        ("saves", saves.names(), saves.try_one),
        ("memory", memory.names(), memory.try_one),
        ("throughput", speed.names(), speed.try_one),
        ("calibrate", ["0.5B", "8B"], memory.calibrate),
    ):
        for name in names:
            yield Piece(group=group, name=name, work=lambda place, work=work, name=name: work(place, name))
