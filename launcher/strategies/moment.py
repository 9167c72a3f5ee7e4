"""The moments of a training step at which memory can be at its peak."""

from enum import Enum


class Moment(Enum):
    """Moments of a step, in order of time. Activations are freed while gradients are computed, so all of both never coexist."""

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
        return self in (Moment.FORWARD, Moment.REFERENCE, Moment.HEAD, Moment.FIRST_BLOCK)

    @property
    def before_backward(self) -> bool:
        """Whether this micro-step has had no backward pass yet, except that of the head."""
        return self in (Moment.FORWARD, Moment.REFERENCE, Moment.HEAD)

    @property
    def in_blocks(self) -> bool:
        """Whether it is the backward pass of a block."""
        return self in (Moment.FIRST_BLOCK, Moment.LAST_BLOCK)
