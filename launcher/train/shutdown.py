"""Saving and ending at one step on every rank, when some of them have been told to."""

from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from launcher.train.heartbeat import Heartbeat


class ShutdownCallback(TrainerCallback):
    """Tells the starter of every step; agrees on the step at which all leave.

    The ranks add up who was told with a collective that runs beside the next step and is read at its end, so that training
    never waits for it: all leave at the end of the step after the one in which the first was told.
    """

    def __init__(self, heartbeat: Heartbeat, trainer: Any, world_size: int) -> None:
        """Every rank must make it at the same point: it has a process group of its own."""
        self.heartbeat, self.trainer = heartbeat, trainer
        self.happened = False
        """Whether training ended because of it."""
        self._group = dist.new_group(backend="gloo") if world_size > 1 else None
        self._told = torch.zeros(1, dtype=torch.int32)
        self._sum: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What comes next may compile."""
        self.heartbeat.phase("first step", state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After a save or an evaluation."""
        if state.global_step > self.trainer.order.first_step:
            self.heartbeat.phase("step", state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends training, with a save, once the ranks know of each other."""
        self.heartbeat.phase("step", state.global_step)
        if self._agreed() and state.global_step < state.max_steps:
            self.happened = control.should_training_stop = True
            control.should_save = control.should_log = self.trainer.saver is not None
            self.trainer.save_reason = "told"
        if control.should_evaluate:  # it comes before the save
            self.heartbeat.phase("eval", state.global_step)
        elif control.should_save:
            self.heartbeat.phase("save", state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The evaluation is over."""
        if control.should_save:
            self.heartbeat.phase("save", state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last save may have to be waited for."""
        self.heartbeat.phase("save", state.global_step)

    def _agreed(self) -> bool:
        if self._group is None:
            return self.heartbeat.shutdown_requested()
        if self._sum is not None:
            self._sum.wait()
            if int(self._told):
                return True
        self._told[0] = int(self.heartbeat.shutdown_requested())
        self._sum = dist.all_reduce(self._told, group=self._group, async_op=True)
        return False
