"""How long a run trains: its optimizer steps and warm-up, decided here wherever the number of training rows is known.

trainer.eval_steps and save_steps are intervals of it: in steps, as a share of the run, or as an epoch.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.facts import Facts
from launcher.plan.topology import Batch

EPOCH = "epoch"


@frozen_dataclass
class RunLength:
    """The length of a run.

    Where `decided_by` is max_steps or rows, trainer_args hold the final max_steps and warmup_steps, and the ranks take exactly
    these. Where it is ranks, only the ranks can count the rows: they derive both by the formulas of this module, and report
    them in the event `length`.
    """

    steps: int | None
    """Optimizer steps; None if the ranks count the rows."""
    warmup_steps: int | None
    """Steps of warm-up; None if the ranks count the rows."""
    epochs: float | None
    """Requested epochs; None if trainer.max_steps is set."""
    epoch_steps: int | None
    """Optimizer steps of one epoch; None if the ranks count the rows."""
    rows: int | None
    """Training rows of an epoch, counted by the data check; None if they were not counted."""
    decided_by: str
    """max_steps: trainer.max_steps is set; rows: the counted rows; ranks: the ranks, for the reason in `why`."""
    why: str | None = None
    """Why the plan cannot decide the steps; None if it can."""
    eval_every: float | str | None = None
    """trainer.eval_steps, a share of the run or `epoch`, from which the ranks derive the steps between evaluations; None if
    trainer_args have them."""


def make_length(
    args: Mapping[str, Any], facts: Facts, batch: Batch, *, packing: bool, samples: int
) -> RunLength:
    """The length that follows from the trainer's arguments. `samples`: sequences of the batch per training row."""
    if int(args["max_steps"]) > 0:
        steps, decided_by, why = int(args["max_steps"]), "max_steps", None
    elif packing:
        steps, decided_by, why = (
            None,
            "ranks",
            "trainer.packing=true: the rows follow from the documents' tokens",
        )
    elif facts.rows is None:
        steps, decided_by, why = None, "ranks", "the training rows were not counted before the launch"
    else:
        steps = count_steps(facts.rows * samples, batch.global_batch_size, float(args["num_train_epochs"]))
        decided_by, why = "rows", None
    counted = None if packing or facts.rows is None else facts.rows * samples
    return RunLength(
        epoch_steps=None if counted is None else count_steps(counted, batch.global_batch_size, 1),
        steps=steps,
        warmup_steps=None if steps is None else count_warmup_steps(float(args["warmup_steps"]), steps),
        epochs=None if decided_by == "max_steps" else float(args["num_train_epochs"]),
        rows=facts.rows,
        decided_by=decided_by,
        why=why,
    )


def final_args(args: Mapping[str, Any], length: RunLength) -> dict[str, Any]:
    """The trainer's arguments with the decided length; unchanged if the ranks decide it.

    The Trainer then counts the whole run as one epoch; metrics.jsonl has the true epoch.
    """
    if length.steps is None:
        return dict(args)
    decided = {"max_steps": length.steps, "num_train_epochs": 1.0, "warmup_steps": length.warmup_steps}
    return {**args, **decided}


def derive(length: RunLength, args: Mapping[str, Any], samples: int, global_batch_size: int) -> RunLength:
    """The same length, with steps and warm-up derived from the `samples` that the ranks have counted in an epoch."""
    if length.epoch_steps is None:
        epoch_steps = count_steps(samples, global_batch_size, 1)
        length = dataclasses.replace(length, epoch_steps=epoch_steps)
    if length.steps is not None:
        return length
    assert length.epochs is not None
    steps = count_steps(samples, global_batch_size, length.epochs)
    warmup = count_warmup_steps(float(args["warmup_steps"]), steps)
    return dataclasses.replace(length, steps=steps, warmup_steps=warmup)


def count_steps(samples: float, global_batch_size: int, epochs: float) -> int:
    """Optimizer steps of that many epochs, each with a full batch: the last one takes samples of the next epoch."""
    return max(1, -int(-(epochs * samples) // global_batch_size))


def count_warmup_steps(warmup: float, steps: int) -> int:
    """Whole steps of warm-up: a value below 1 is a share of all steps, rounded up as in transformers 5.23
    (TrainingArguments.get_warmup_steps).

    A run of one step has none, because the first step of a warm-up has a learning rate of 0 and would train nothing.
    """
    return int(warmup) if warmup >= 1 else min(math.ceil(warmup * steps), steps - 1)


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
