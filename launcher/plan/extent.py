"""How much a run trains: rows, tokens, epochs, steps and time, as far as the plan knows or can estimate them."""

from launcher.config import Config
from launcher.frozen_dataclass import frozen_dataclass
from launcher.methods.registry import find_method
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.length import count_steps
from launcher.plan.queue import expect
from launcher.plan.trainer import few_steps
from launcher.units import significant


@frozen_dataclass
class Extent:
    """How much one run trains. A value is None if it is not known before the run starts."""

    rows: int | None
    """Training rows of an epoch."""
    tokens: int | None
    """Tokens of an epoch, estimated from the lengths that the data check found."""
    epochs: float | None
    steps: int | None
    """Optimizer steps of the whole run."""
    steps_estimated: bool
    """Whether the steps follow from an estimate of the tokens, because rows are packed."""
    epoch_steps: int | None
    """Optimizer steps of one epoch."""
    unpacked_epoch_steps: int | None
    """The same without packing."""
    seconds: float | None
    """Estimated wall time over all attempts, without the time in the queue."""


def extent_of(config: Config, plan: LaunchPlan) -> Extent:
    """How much the run trains."""
    facts, length, batch = plan.facts, plan.length, plan.batch.global_batch_size
    samples = None if facts.rows is None else facts.rows * find_method(plan.trainer).generations(config)
    packed = samples
    if config.trainer.packing:
        mean = facts.mean_tokens
        packed = None if samples is None or mean is None else samples * min(mean / config.model.max_length, 1)
    steps, epochs = length.steps, length.epochs
    if steps is None and packed is not None and epochs is not None:
        steps = count_steps(packed, batch, epochs)
    if epochs is None and packed and steps is not None:
        epochs = significant(steps * batch / packed, 3)
    course = expect(config, plan)
    hours = course.wall_h if course else None
    return Extent(
        rows=facts.rows,
        tokens=None if facts.rows is None or facts.mean_tokens is None else facts.rows * facts.mean_tokens,
        epochs=epochs,
        steps=steps,
        steps_estimated=length.steps is None and steps is not None,
        epoch_steps=None if packed is None else count_steps(packed, batch, 1),
        unpacked_epoch_steps=None if samples is None else count_steps(samples, batch, 1),
        seconds=None if hours is None else hours * 3600,
    )


def short_run(extent: Extent) -> list[str]:
    """Warnings for a run of fewer than 10 optimizer steps, and for an epoch that packing turned into one step."""
    found: list[str] = []
    if extent.epoch_steps == 1 and (extent.unpacked_epoch_steps or 0) > 1:
        found.append(
            f"trainer.packing=true joins the {extent.rows:,} rows into sequences that fill only one step: an epoch is 1 "
            f"optimizer step instead of {extent.unpacked_epoch_steps:,}; use trainer.packing=false, or a smaller "
            "batch.global_batch_size"
        )
    if few := few_steps(extent.steps, packs=extent.epoch_steps != extent.unpacked_epoch_steps):
        found.append(few)
    return found
