"""Intervals that a person may give in steps, as a share of the run, or as an epoch: trainer.eval_steps and save_steps."""

import math
from typing import Any

from launcher.plan.length import RunLength

EPOCH = "epoch"


def is_every(value: Any) -> bool:
    """Whether it is a whole number of steps of at least 1, a share above 0 and below 1, or `epoch`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value == EPOCH
    return 0 < value < 1 or (value >= 1 and value == int(value))


RULE = "a whole number of steps of at least 1, a share of the run such as 0.1, or epoch"
"""What `is_every` accepts, as the words after `must be`."""


def steps_of(asked: float | str, length: RunLength) -> int | None:
    """Optimizer steps of the interval; None if only the ranks can count them.

    A share is one of all steps, rounded up as in transformers 5.23 (TrainerState.compute_steps). An epoch ends with the step
    that takes its last row.
    """
    if asked == EPOCH:
        return length.epoch_steps
    share = float(asked)
    if share >= 1:
        return int(share)
    return None if length.steps is None else max(1, math.ceil(share * length.steps - 1e-9))


def described(asked: float | str) -> str:
    """The words after `every` for an interval that is not a number of steps."""
    return EPOCH if asked == EPOCH else f"{float(asked):.3g} of the run"
