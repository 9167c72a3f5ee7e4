"""Compares a plan with the lifetimes of the same run on the fake device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakecuda.cases import Case, plan
from tests.fakecuda.serve import Server

GIB = 2**30
ALONE, TOGETHER, BELOW = 0.03, 0.05, 0.02
"""Bars: how far a plan may be off on one rank and on several, and how far below what was seen."""


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
    def held_more(self) -> float:
        """The share of it that the caching allocator holds in addition."""
        return self.found["reserved"] / self.found["peak"] - 1

    @property
    def off(self) -> float:
        """(planned - seen) / seen."""
        return self.planned["total"] / self.seen - 1

    @property
    def met(self) -> bool:
        """Whether the plan is within the bars."""
        return -BELOW <= self.off <= (ALONE if self.case.ranks == 1 else TOGETHER)


def hold(case: Case, server: Server, folder: Path, top: int = 0) -> Held:
    """One case, planned and run. `top`: the number of largest kinds of tensors at the peak to list."""
    run, memory = plan(case, folder)
    return Held(case=case, planned=memory, found=server.train(run, documents=case.masked, top=top))
