"""A term of the memory estimate: one kind of memory, how it is counted, and how the count was verified."""

from collections.abc import Callable, Mapping
from typing import Any

from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.memory.load import Load
from launcher.strategies.trained import Moment

ON_CPU_RANKS = "ranks on a CPU, to the byte"
ON_FAKE_CUDA = "lifetimes on a fake CUDA device, no kernels"


@frozen_dataclass
class Term:
    """One kind of memory. A module of this package holds it, and estimate.py lists it."""

    name: str
    """Its key in plan.json, in `plan --json` and in `plan --explain`."""
    count: Callable[[Load, Mapping[str, float]], float] = lambda load, before: 0
    """(load, bytes of the terms before this one) -> bytes, if it is the same at every moment of a step."""
    at: Callable[[Load, Moment], float] | None = None
    """(load, moment of a step) -> bytes, if it is not."""
    formulas: tuple[Callable[..., Any], ...] = ()
    """The functions that count it. Their docstrings describe the formula and name its source."""
    text: str = ""
    """How it is counted, and the source, if no function's docstring says so."""
    shown_by: str
    """How the count was verified; `unverified` if no run has shown it. docs/guide/planning.md says the same."""

    @property
    def counted(self) -> str:
        """How it is counted, and the source, in one line."""
        return " ".join(" ".join([self.text, *(str(formula.__doc__) for formula in self.formulas)]).split())
