"""The shutdown of all ranks at one step, after a shutdown was requested from some of them."""

from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from launcher.train.heartbeat import Heartbeat


class ShutdownCallback(TrainerCallback):
    """Reports every step to the agent, and agrees with the other ranks on the step at which all shut down.

    The ranks add up the requests in a collective that runs during the next step and is read at its end, so that training never
    waits for it: all ranks shut down at the end of the step after the one in which the first received the request.
    """

    def __init__(self, heartbeat: Heartbeat, trainer: Any, world_size: int) -> None:
        """Collective: every rank must create it at the same point, because it has a process group of its own."""
        self.heartbeat, self.trainer = heartbeat, trainer
        self.happened = False
        """Whether training has ended because of it."""
        self._group = dist.new_group(backend="gloo") if world_size > 1 else None
        self._requested = torch.zeros(1, dtype=torch.int32)
        self._sum: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reports the first step, which may compile."""
        self.heartbeat.phase("first step", state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reports a step again after a save or an evaluation."""
        if state.global_step > self.trainer.order.first_step:
            self.heartbeat.phase("step", state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends training with a save, once the ranks have agreed."""
        self.heartbeat.phase("step", state.global_step)
        if self._agreed() and state.global_step < state.max_steps:
            self.happened = control.should_training_stop = True
            control.should_save = control.should_log = self.trainer.saver is not None
            self.trainer.save_reason = "told"
        if control.should_evaluate:  # the evaluation comes before the save
            self.heartbeat.phase("eval", state.global_step)
        elif control.should_save:
            self.heartbeat.phase("save", state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reports the save that follows the evaluation."""
        if control.should_save:
            self.heartbeat.phase("save", state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reports that the last save may take a while."""
        self.heartbeat.phase("save", state.global_step)

    def _agreed(self) -> bool:
        if self._group is None:
            return self.heartbeat.shutdown_requested()
        if self._sum is not None:
            self._sum.wait()
            if int(self._requested):
                return True
        self._requested[0] = int(self.heartbeat.shutdown_requested())
        self._sum = dist.all_reduce(self._requested, group=self._group, async_op=True)
        return False
