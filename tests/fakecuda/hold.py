"""Compares a plan with the lifetimes of the same run on the fake device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakecuda.cases import Case, plan
from tests.fakecuda.serve import Server

GIB = 2**30
ALONE, TOGETHER, BELOW = 0.03, 0.05, 0.02
"""Bars: how far a plan may be off on one rank and on several, and how far below what was seen."""


@dataclass(frozen=True)
class Room:
    """GiB of a device."""

    planned: float
    needed: float

    @property
    def off(self) -> float:
        """(planned - needed) / needed. Where it is negative, a device that fits by the plan is too small."""
        return self.planned / self.needed - 1


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the plan says and what was seen, in GiB."""

    case: Case
    planned: dict[str, float]
    found: dict[str, Any]

    @property
    def error(self) -> str | None:
        """Why the run ended early."""
        return self.found["error"]

    @property
    def seen(self) -> float:
        """The peak that torch.cuda.max_memory_allocated would have."""
        return self.found["peak"] / GIB

    @property
    def tensors(self) -> float:
        """What the plan says of it: all but fragmentation."""
        return self.planned["total"] - self.planned["fragmentation"]

    @property
    def off(self) -> float:
        """(planned - seen) / seen, of tensors."""
        return self.tensors / self.seen - 1

    @property
    def met(self) -> bool:
        """Whether the plan of the tensors is within the bars."""
        return -BELOW <= self.off <= (ALONE if self.case.ranks == 1 else TOGETHER)

    @property
    def grown(self) -> Room:
        """The least memory on which the requests do not fail, with segments that grow."""
        return Room(self.planned["total"], self.found["grown"] / GIB)

    @property
    def fixed(self) -> Room:
        """The same with segments of fixed sizes."""
        return Room(self.tensors + self.planned["fixed"], self.found["fixed"] / GIB)


def hold(case: Case, server: Server, folder: Path, top: int = 0) -> Held:
    """One case, planned and run. `top`: the number of largest kinds of tensors at the peak to list."""
    run, memory = plan(case, folder)
    return Held(case=case, planned=memory, found=server.train(run, documents=case.masked, top=top))
