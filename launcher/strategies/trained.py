"""What the formulas of a strategy can use of one GPU's work, and the moments of a step at which its memory can be at its
peak.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from launcher.strategies.degrees import Degrees

TensorCounts = list[tuple[tuple[int, ...], int]]
"""(shape, number of tensors with it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Bytes of what a strategy gathers at once, in the forward pass's format."""

    head: float
    """The head; with tied weights it is the embedding too."""
    block: float
    """One block, with its adapters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What one GPU sends in a step within one kind of group of ranks."""

    bytes: float
    span: int
    """Number of neighbouring ranks from the first of a group to its last: groups of at most a node's ranks stay in a node."""
    rings: int = 1
    """Groups across nodes that have ranks on the same node and send at the same time; they share the node's network."""


class Trained(Protocol):
    """What is trained on one GPU, and how; launcher.plan.memory.load.Load is one."""

    @property
    def degrees(self) -> Degrees:
        """Ranks that share each thing."""
        ...

    @property
    def adapter(self) -> Any:
        """The LoRA adapter; None if every weight is trained."""
        ...

    @property
    def checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass."""
        ...

    @property
    def accumulation(self) -> int:
        """Forward passes of one optimizer step."""
        ...

    @property
    def bucket(self) -> int | None:
        """Elements of a gradient bucket if a plugin has set them, else None."""
        ...

    @property
    def layers(self) -> int:
        """Number of blocks."""
        ...

    @property
    def table(self) -> int:
        """Number of values in the embedding; the head has as many."""
        ...

    @property
    def tied(self) -> bool:
        """Whether the head shares the embedding's weights."""
        ...

    @property
    def reference(self) -> bool:
        """Whether the loss needs a forward pass of the model before training."""
        ...

    @property
    def generated(self) -> int:
        """Tokens of the longest answer that is generated between steps; 0 if none are."""
        ...

    @property
    def scores(self) -> int:
        """Outputs of the head of a model that predicts no tokens, which has no table; 0 if the model predicts tokens."""
        ...

    @property
    def trains_embedding(self) -> bool:
        """Whether the embedding gets a gradient."""
        ...

    @property
    def trains_head(self) -> bool:
        """Whether the head gets a gradient."""
        ...

    @property
    def autocast(self) -> bool:
        """Whether weights are cast to bf16 during each pass."""
        ...

    @property
    def parameters(self) -> int:
        """Parameters of the model, without the adapter."""
        ...

    @property
    def hidden_size(self) -> int:
        """Width of the model."""
        ...

    @property
    def linear(self) -> int:
        """Weights of all linear layers within blocks."""
        ...

    @property
    def trained(self) -> int:
        """Parameters that get a gradient."""
        ...

    @property
    def trained_tensors(self) -> TensorCounts:
        """Shapes of what gets a gradient."""
        ...

    @property
    def all_tensors(self) -> TensorCounts:
        """Shapes of the model's weights, without the adapter."""
        ...

    @property
    def width(self) -> int:
        """Bytes per value in the forward pass."""
        ...

    @property
    def trained_width(self) -> int:
        """Bytes of a trained weight."""
        ...

    @property
    def gradient_width(self) -> int:
        """Bytes of a gradient."""
        ...


class Moment(Enum):
    """Moments of a step, in order of time. Activations are freed while gradients are computed, so all of both never coexist."""

    BEGIN = "begin"
    """The forward pass of the first block, before which the embedding was gathered: no activation is kept yet."""
    FORWARD = "forward"
    """The head's forward pass: every activation is kept."""
    REFERENCE = "reference"
    """The reference model's forward pass, if the loss needs one: every activation of the trained model is kept."""
    HEAD = "head"
    """The head's backward pass: every activation is kept, and the head's gradient is computed."""
    FIRST_BLOCK = "first block"
    """The backward pass of the last block, which comes first."""
    LAST_BLOCK = "last block"
    """The backward pass of the first block, which comes last: every other block has its gradients, and no activations."""
    EMBEDDING = "embedding"
    """The embedding's backward pass: every gradient exists."""
    STEP = "step"
    """The optimizer's step."""
    MEASURE = "measurement"
    """Between two steps: a plugin computes the logits of some tokens, without gradients."""
    GENERATE = "generation"
    """Between two steps: answers are generated."""

    @property
    def between_steps(self) -> bool:
        """Whether nothing is trained: there are no gradients, and no activations are kept."""
        return self in (Moment.MEASURE, Moment.GENERATE)

    @property
    def before_gradients(self) -> bool:
        """Whether the blocks have no gradients yet, except those of earlier micro-steps."""
        return self in (Moment.BEGIN, Moment.FORWARD, Moment.REFERENCE, Moment.HEAD, Moment.FIRST_BLOCK)

    @property
    def before_backward(self) -> bool:
        """Whether this micro-step has had no backward pass yet, except that of the head."""
        return self in (Moment.BEGIN, Moment.FORWARD, Moment.REFERENCE, Moment.HEAD)

    @property
    def in_blocks(self) -> bool:
        """Whether it is the backward pass of a block."""
        return self in (Moment.FIRST_BLOCK, Moment.LAST_BLOCK)


def share_sent(ranks: int) -> float:
    """The share of a tensor that each of `ranks` ranks sends in a reduce-scatter or an all-gather."""
    return (ranks - 1) / ranks


def size_of(dims: tuple[int, ...]) -> int:
    """Number of elements of a tensor of that shape."""
    size = 1
    for dim in dims:
        size *= dim
    return size
