"""The peak memory of a training step on one GPU as the sum of its terms, and host memory and disk space."""

from collections.abc import Mapping

from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.memory.activations import ACTIVATIONS
from launcher.plan.memory.buffers import BUFFERS
from launcher.plan.memory.context import CONTEXT
from launcher.plan.memory.fragments import FRAGMENTATION
from launcher.plan.memory.generation import GENERATION
from launcher.plan.memory.gradients import GRADIENTS
from launcher.plan.memory.host import CHECKPOINT, HOST
from launcher.plan.memory.load import Load
from launcher.plan.memory.loading import LOADING
from launcher.plan.memory.logits import LOGITS
from launcher.plan.memory.optimizer import OPTIMIZER
from launcher.plan.memory.term import Term
from launcher.plan.memory.weights import WEIGHTS
from launcher.strategies.trained import Moment
from launcher.units import GIB

MARGIN = 0.1
"""A plan that leaves less than this share of a GPU free gets a warning: the estimate can be wrong by this much."""
TERMS: tuple[Term, ...] = (
    WEIGHTS, GRADIENTS, OPTIMIZER, ACTIVATIONS, LOGITS, BUFFERS, GENERATION, CONTEXT, LOADING, FRAGMENTATION,
)  # fmt: skip
"""The terms of a GPU's peak memory, in the order in which they are counted and shown. Their sum is the total."""


@frozen_dataclass
class Memory:
    """GiB of one GPU at the peak of a training step."""

    parts: Mapping[str, float]
    """GiB of each term at the peak, by its name."""

    @property
    def total(self) -> float:
        """The sum of all terms."""
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, float]:
        """The terms and their total."""
        return {**self.parts, "total": round(self.total, 3)}


@frozen_dataclass
class Room:
    """What a run needs besides its GPUs."""

    host_gib: float
    """Host memory of one node."""
    checkpoint_gib: float
    """Disk of one checkpoint."""


def estimate_memory(load: Load) -> Memory:
    """The peak of a training step on one GPU, term by term: the largest of the moments of a step, since activations are
    freed while gradients are made."""
    moments = [
        {term.name: term.at(load, moment) for term in TERMS if term.at is not None}
        for moment in Moment
        if load.has(moment)
    ]
    peak = max(moments, key=lambda parts: sum(parts.values()))
    counted: dict[str, float] = {}
    for term in TERMS:
        counted[term.name] = term.count(load, counted) if term.at is None else peak[term.name]
    return Memory(parts={term.name: round(counted[term.name] / GIB, 3) for term in TERMS})


def estimate_room(load: Load) -> Room:
    """Host memory of a node, and disk space of a checkpoint."""
    return Room(host_gib=_gib(HOST, load), checkpoint_gib=_gib(CHECKPOINT, load))


def explain_terms(memory: Memory, room: Room) -> list[tuple[Term, float]]:
    """Every term with its GiB: those of a GPU, then a node's host memory and a checkpoint's disk space."""
    beside = [(HOST, room.host_gib), (CHECKPOINT, room.checkpoint_gib)]
    return [*((term, memory.parts[term.name]) for term in TERMS), *beside]


def _gib(term: Term, load: Load) -> float:
    return round(term.count(load, {}) / GIB, 3)
