"""The peak of a training step on one GPU, summed up from its terms; host memory and disk beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

from launcher.plan.memory.activations import ACTIVATIONS
from launcher.plan.memory.buffers import BUFFERS
from launcher.plan.memory.context import CONTEXT
from launcher.plan.memory.gradients import GRADIENTS
from launcher.plan.memory.host import CHECKPOINT, HOST
from launcher.plan.memory.load import Load
from launcher.plan.memory.logits import LOGITS
from launcher.plan.memory.optimizer import OPTIMIZER
from launcher.plan.memory.term import GIB, Term
from launcher.plan.memory.weights import WEIGHTS

MARGIN = 0.1
"""A plan that leaves less than this share of a GPU free is launched with a warning: the estimate may be off by as much."""
TERMS: tuple[Term, ...] = (WEIGHTS, GRADIENTS, OPTIMIZER, ACTIVATIONS, LOGITS, BUFFERS, CONTEXT)
"""What a GPU holds at the peak, in the order in which it is counted and shown. Their sum is the total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Peak GiB of one GPU."""

    parts: Mapping[str, float]
    """GiB of each term by its name."""

    @property
    def total(self) -> float:
        """The sum of all terms."""
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, float]:
        """The terms and their total."""
        return {**self.parts, "total": round(self.total, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a run needs beside its GPUs."""

    host_gib: float
    """Host memory of one node."""
    checkpoint_gib: float
    """Disk of one checkpoint."""


def estimate_memory(load: Load) -> Memory:
    """The peak of a training step on one GPU, term by term.

    Two moments are looked at: a block's backward pass, and the optimizer's step, when activations and logits are gone.
    What the step takes more than the backward pass is counted under buffers.
    """
    counted: dict[str, float] = {}
    for term in TERMS:
        counted[term.name] = term.count(load, counted)
    return Memory(parts={name: round(count / GIB, 3) for name, count in counted.items()})


def estimate_room(load: Load) -> Room:
    """Host memory of a node and disk of a checkpoint."""
    return Room(host_gib=_gib(HOST, load), checkpoint_gib=_gib(CHECKPOINT, load))


def explain_terms(memory: Memory, room: Room) -> list[tuple[Term, float]]:
    """Every term with its GiB: what a GPU holds, then a node's memory and a checkpoint's disk."""
    beside = [(HOST, room.host_gib), (CHECKPOINT, room.checkpoint_gib)]
    return [*((term, memory.parts[term.name]) for term in TERMS), *beside]


def _gib(term: Term, load: Load) -> float:
    return round(term.count(load, {}) / GIB, 3)
