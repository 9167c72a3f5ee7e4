"""When to save: at a fixed number of steps, or at the interval that loses the least time by this run's measurements."""

import statistics
import time
from collections import deque
from datetime import datetime, timezone
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from launcher.plan.save import SavePlan, best_interval_s
from launcher.run import RunDir
from launcher.run.events.checkpoints import Interval, Stepping
from launcher.run.events.supervisor import Started
from launcher.train.checkpoint.saver import Saver

_WARM_UP = 3
"""Number of steps that are not measured, at the start."""
_RECENT = 256
"""Number of newest steps whose times are used."""
_CHANGE = 0.1
"""An interval is reported again only if it differs by more than this share."""


class Schedule(TrainerCallback):
    """Makes the Trainer save, and ends the run when saving has failed for good."""

    def __init__(self, run: RunDir, plan: SavePlan, saver: Saver, trainer: Any, attempt: int) -> None:
        self.run, self.plan, self.saver, self.trainer, self.attempt = run, plan, saver, trainer, attempt
        self._times: deque[float] = deque(maxlen=_RECENT)
        self._begin = 0.0
        self._restart_s = plan.restart_s
        self._first = 0
        self._next = 0
        self._noted = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Sets the first save. With automatic intervals it comes soon, because it measures the cost of a save."""
        self._first = state.global_step
        self._next = state.global_step + (self.plan.save_steps or 2 * _WARM_UP)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock of a step."""
        self._begin = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decides whether to save after this step."""
        self.saver.check()
        step, last = state.global_step, state.global_step >= state.max_steps
        if step == self._first + _WARM_UP + 1:
            self._times.clear()
        self._times.append(time.monotonic() - self._begin)
        if step == self._first + 1 and self.saver.rank == 0:
            self._restart_s = self._measure_restart() or self._restart_s
            self.run.note(Stepping(attempt=self.attempt, step=step, restart_s=round(self._restart_s, 3)))
        due = step % self.plan.save_steps == 0 if self.plan.save_steps else step >= self._next
        if due or last:
            self.trainer.save_reason = "end" if last else "interval"
            control.should_save = control.should_log = True  # logging comes first and checks the loss

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """With automatic intervals, sets the step of the next save from the measurements of rank 0."""
        if not self.plan.save_steps:
            self._next = state.global_step + self._agree(self._steps_between())

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Waits until the last checkpoint is committed."""
        self.saver.close()

    def _steps_between(self) -> int:
        """Daly's interval in steps, for the step time of this run and the duration of its newest saves."""
        step_s = statistics.median(self._times)
        save_s = statistics.median(self.saver.stalls_s)
        if self.plan.mtbf_s is None:
            return 1 << 30
        interval = best_interval_s(max(save_s, 1e-3), self.plan.mtbf_s)
        steps = max(1, round(interval / max(step_s, 1e-6)))
        if self.saver.rank == 0 and abs(steps - self._noted) > _CHANGE * self._noted:
            self._noted = steps
            self.run.note(
                Interval(
                    attempt=self.attempt,
                    steps=steps,
                    interval_s=round(interval, 1),
                    step_s=round(step_s, 4),
                    save_s=round(save_s, 4),
                    restart_s=round(self._restart_s, 2),
                )
            )
        return steps

    def _agree(self, steps: int) -> int:
        if self.saver.world_size == 1:
            return steps
        agreed = torch.tensor([steps], device=self.trainer.args.device)
        dist.broadcast(agreed, src=0)
        return int(agreed)

    def _measure_restart(self) -> float | None:
        """Seconds from the start of this attempt to its first step."""
        for event in reversed(self.run.read_events(Started)):
            if event.attempt == self.attempt:
                begun = datetime.fromisoformat(event.time)
                return (datetime.now(timezone.utc) - begun).total_seconds()
        return None
