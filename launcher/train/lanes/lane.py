"""One trial on a shared base model: its adapter, optimizer, schedule, order of data, records and checkpoints.

All of it is the same as in a run of the trial alone, made by the same code from the trial's own run dir, so that each can
resume from the checkpoints of the other. Only the base model's tensors, and the loop, belong to the group.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import torch
from transformers import set_seed

from launcher.checkpoint.manifest import folder_name
from launcher.config import has_evaluation
from launcher.plugins.base import apply
from launcher.plugins.decide import read_run
from launcher.run import RunDir
from launcher.run.events.ranks import Working
from launcher.run.lanes import LaneOrder
from launcher.train.after.export import export
from launcher.train.checkpoint.selection import CheckpointSelection
from launcher.train.data.shared import Shared
from launcher.train.equip import RankOf, equip, go_on
from launcher.train.heartbeat import Heartbeat
from launcher.train.lanes.resident import with_same_tensors
from launcher.train.length import check_arguments
from launcher.train.methods.parts import make_arguments, module_of
from launcher.train.model import load_tokenizer
from launcher.train.shutdown import ShutdownCallback
from launcher.train.tracking import RankTracking
from launcher.train.upstream.transformers_trainer_steps import TrainerSteps

_TRAINING = ("first step", "step", "save", "eval")


class LaneHeartbeat(Heartbeat):
    """A lane's reports, which become those of the group's rank.

    Phases other than training are reported as `save`, in which a rank can be told to shut down, because the other lanes train.
    """

    def __init__(self, group: Heartbeat) -> None:
        self.group, self.last = group, -1

    @property
    def heard(self) -> bool:
        """Whether there is an agent that hears the group."""
        return self.group.heard

    def phase(self, name: str, step: int | None = None) -> None:
        """Reports the phase, with the number of steps that all lanes have made."""
        if step is not None and name in _TRAINING and step != self.last:
            self.last = step
            self.group.step += 1
        self.group.phase(name if name in _TRAINING else "save", self.group.step)

    def shutdown_requested(self) -> bool:
        """False: the loop of the group shuts its lanes down between two steps."""
        return False


class Lane:
    """A trial that trains. All its methods draw random numbers from the trial's own generators."""

    def __init__(self, order: LaneOrder, base: Any, heartbeat: Heartbeat) -> None:
        """Makes everything up to the first step, and resumes from the newest checkpoint of the run; LauncherError if the trial
        cannot train."""
        self.order, self.base = order, base
        self.run = RunDir(Path(order.run))
        self.decided = read_run(self.run)
        self._random = _states()
        config, plan = self.decided.config, self.decided.plan
        place = RankOf(run=self.run, decided=self.decided, attempt=order.attempt, rank=0, lease=order.lease)
        heartbeat = LaneHeartbeat(heartbeat)
        with self._own_random():
            self.tracking = RankTracking(self.run, config, plan, order.attempt, is_main=True)
            args = make_arguments(self.run, plan)
            if not self.tracking.reports:
                args.report_to = []
            shared = Shared(self.run, plan.facts.cache_dir, order.attempt, 0, heartbeat)
            shared.forget()
            selection = CheckpointSelection(self.run, plan.facts.resume, 0, 1, order.attempt)
            self.run.note(Working(attempt=order.attempt, on="load"))
            self.tokenizer = load_tokenizer(config.model, plan.facts, config.seed)
            model = with_same_tensors(base)
            set_seed(config.seed)
            model = apply(self.decided.plugins, "on_model", model)
            method = module_of(plan.trainer)
            kind = type("LaneTrainer", (TrainerSteps, method.TRAINER), {})
            self.trainer: Any = equip(
                place, args, model, self.tokenizer, shared, self.tracking, heartbeat, selection.skipped(),
                lambda parts: method.make(parts, kind),
            )  # fmt: skip
            self.trainer.add_callback(ShutdownCallback(heartbeat, self.trainer, 1))
            check_arguments(self.trainer.args, plan)
            self.trainer.train(resume_from_checkpoint=go_on(place, self.trainer, selection))

    @property
    def is_over(self) -> bool:
        """Whether it has no step left."""
        return self.trainer.is_over

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self.trainer.state.global_step

    @property
    def inner(self) -> Any:
        """The model below peft's, with the adapter's layers in it."""
        return self.trainer.model.get_base_model()

    def turn(self) -> None:
        """One optimizer step, as in a lone run."""
        with self._own_random():
            batches, items = self.trainer.take()
            for number, inputs in enumerate(batches):
                loss = self.trainer.train_on(inputs, items, last=number == len(batches) - 1)
                self.trainer.add(loss, inputs)
            if batches:
                self.trainer.complete()

    def take(self) -> tuple[list[Any], Any]:
        """The micro-batches of the next step, and its trained tokens."""
        with self._own_random():
            return self.trainer.take()

    def complete(self) -> None:
        """The optimizer's step, after the gradients were computed together with those of other lanes."""
        with self._own_random():
            self.trainer.complete()

    def finish(self) -> None:
        """Evaluates and exports, after the last step."""
        config, attempt = self.decided.config, self.order.attempt
        with self._own_random():
            self.trainer.finish()
            if has_evaluation(config.data):
                self.trainer.evaluate()
            self.run.note(Working(attempt=attempt, on="export"))
            found = export(self.run, self.decided, self.trainer, self.tokenizer, self._load_back)
            assert found is not None  # a lane has one rank
            self.run.note(found.event(self.run, attempt, self.step))
            self.tracking.finish()

    def save(self, why: str) -> None:
        """Saves a checkpoint and waits until it is committed, if the run saves any and has trained since the last one."""
        if self.trainer.saver is None:
            return
        self.trainer.saver.wait()
        if self.step and not (self.run.checkpoints / folder_name(self.step)).is_dir():
            with self._own_random():
                self.trainer.save_between_steps(why)
                self.trainer.saver.close()

    def stop(self) -> None:
        """Ends the lane without a result."""
        if self.trainer.saver is not None:
            self.trainer.saver.wait()
        self.tracking.finish(shutdown=True)

    def _load_back(self, folder: Path) -> Any:
        from peft import PeftModel

        return PeftModel.from_pretrained(with_same_tensors(self.base), folder).eval()

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        before = _states()
        _set(self._random)
        try:
            yield
        finally:
            self._random = _states()
            _set(before)


def _states() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return random.getstate(), numpy.random.get_state(), torch.get_rng_state(), cuda


def _set(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    numpy.random.set_state(states[1])
    torch.set_rng_state(states[2])
    if states[3] is not None:
        torch.cuda.set_rng_state(states[3])
