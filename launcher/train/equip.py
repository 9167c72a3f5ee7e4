"""The trainer of a run with everything that accompanies it: records, measurements, checkpoints, trackers, plugins."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import Trainer

from launcher.checkpoint.tasks import task_retention
from launcher.errors import CheckpointError, NotAsPlanned
from launcher.launching.changed_data import DataAt, check_data_is_same
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan
from launcher.plugins.base import apply
from launcher.plugins.decide import Decided
from launcher.run import RunDir
from launcher.run.events.checkpoints import Resumed
from launcher.train.callbacks import Recorder, SampleAnswers
from launcher.train.checkpoint.saver import Saver
from launcher.train.checkpoint.schedule import Schedule
from launcher.train.checkpoint.selection import CheckpointSelection
from launcher.train.data.cache import RowStore
from launcher.train.heartbeat import Heartbeat
from launcher.train.length import settle_saves
from launcher.train.meter import Meter
from launcher.train.methods.parts import Parts
from launcher.train.strategies.base import on_rank
from launcher.train.tracking import RankTracking


@dataclass(frozen=True, kw_only=True)
class RankOf:
    """One rank of one attempt of a run."""

    run: RunDir
    decided: Decided
    attempt: int
    rank: int
    lease: str | None = None
    """The nonce of the run's lease; None reads it from the environment."""

    @property
    def is_main(self) -> bool:
        """Whether it records the run."""
        return self.rank == 0


def equip(
    place: RankOf,
    args: Any,
    model: Any,
    tokenizer: Any,
    shared: RowStore,
    tracking: RankTracking,
    heartbeat: Heartbeat,
    skipped: Sequence[int],
    make: Callable[[Parts], Any],
) -> Any:
    """The trainer that `make` makes, ready to train. `skipped`: batches that are left out."""
    run, config, plan = place.run, place.decided.config, place.decided.plan
    if place.is_main:
        check_data_is_same(run, plan.facts, DataAt.ADDRESSES)
    recorder = Recorder(
        run,
        plan,
        place.attempt,
        place.is_main,
        config.trainer.loss_spike,
        config.cluster.gpu_tflops,
        find_method(plan.trainer).extra_passes(config),
    )
    trainer = make(
        Parts(
            run=run,
            config=config,
            facts=plan.facts,
            plan=plan,
            plugins=place.decided.plugins,
            args=args,
            model=model,
            tokenizer=tokenizer,
            callbacks=[recorder, Meter(run, plan, place.attempt, place.rank)],
            shared=shared,
            heartbeat=heartbeat,
        )
    )
    if config.trainer.sample_prompt and not plan.strategy.shards_weights:
        trainer.add_callback(
            SampleAnswers(run, place.attempt, place.is_main, tokenizer, config.trainer.sample_prompt)
        )
    if tracking.callback is not None:
        trainer.add_callback(tracking.callback)
    trainer = apply(place.decided.plugins, "on_trainer", trainer)
    check_state(trainer, plan)
    world_size = plan.topology.world_size
    tasks = task_retention(config, run)
    saver = (
        Saver(run, plan.save, place.rank, world_size, place.attempt, place.lease, tasks)
        if plan.save
        else None
    )
    trainer.follow(plan, hashlib.sha256(run.plan.read_bytes()).hexdigest(), saver, recorder, list(skipped))
    if saver is not None and plan.save is not None:
        trainer.add_callback(
            Schedule(run, settle_saves(plan.save, trainer.run_length), saver, trainer, place.attempt)
        )
    return trainer


def check_state(trainer: Trainer, plan: LaunchPlan) -> None:
    """NotAsPlanned if accelerate uses another world size, device, strategy or precision than the plan."""
    state = trainer.accelerator.state
    sharded = on_rank(plan.strategy).found(trainer, plan)
    degrees = on_rank(plan.strategy).found_degrees(trainer)
    for what, found, planned in (
        ("world_size", state.num_processes, plan.topology.world_size),
        ("device", trainer.accelerator.device.type, plan.device),
        *((f"strategy.{key}", value, getattr(plan.strategy, key)) for key, value in sharded.items()),
        *((f"degrees.{key}", value, getattr(plan.degrees, key)) for key, value in degrees.items()),
        ("mixed_precision", str(state.mixed_precision), plan.mixed_precision),
        ("micro_batch_size", trainer.args.per_device_train_batch_size, plan.batch.micro_batch_size),
        (
            "gradient_accumulation_steps",
            trainer.args.gradient_accumulation_steps,
            plan.batch.gradient_accumulation_steps,
        ),
    ):
        if found != planned:
            raise NotAsPlanned(
                f"{what} is {found} on this rank and {planned} in the plan; accelerate.yaml or deepspeed.json differs"
            )


def go_on(place: RankOf, trainer: Any, selection: CheckpointSelection) -> str | None:
    """The checkpoint from which Trainer.train resumes; None if training begins at step 0."""
    config = place.decided.config
    found = selection.settle()
    weights_only = selection.from_elsewhere and config.resume_weights_only
    stripped = found is not None and found.manifest.weights_only
    if found is not None and stripped and not config.resume_weights_only:
        raise CheckpointError(
            f"{found.path} has no optimizer state (plugins.sharded_checkpoint.weights_only=true); to continue from it with a "
            "new optimizer: python -m launcher resume RUN resume_weights_only=true"
        )
    if found is not None:
        trainer.start_from(found, weights_only=weights_only)
        if place.is_main:
            place.run.note(
                Resumed(
                    attempt=place.attempt,
                    checkpoint=str(found.path),
                    step=found.manifest.step,
                    weights_only=weights_only,
                    new_optimizer=stripped or weights_only,
                )
            )
    begins = found is None or weights_only
    trainer.args.eval_on_start = trainer.args.eval_on_start and begins
    return None if begins or found is None else str(found.path)
