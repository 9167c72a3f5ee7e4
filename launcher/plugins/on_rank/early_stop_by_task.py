"""Ending training once a figure of evaluations on tasks no longer improves."""

import dataclasses
from typing import Any

from launcher.output import say
from launcher.plugins.on_rank.agree import from_rank_0
from launcher.plugins.on_rank.early_stop import EarlyStop
from launcher.plugins.patience import Patience
from launcher.run.evaluations import evaluation_folders, read_settled
from launcher.run.metrics import TASKS


class StopByTask(EarlyStop):
    """Counts the figures of checkpoints, in the order of their steps, at each save.

    The evaluations are jobs of their own, so a figure is there some time after its checkpoint. One that failed does not count.
    """

    def __init__(self, trainer: Any, patience: Patience, figure: str) -> None:
        """`figure`: TASK/METRIC."""
        super().__init__(trainer, patience, f"{TASKS}{figure}", restore_best=False)
        self.figure, self.counted = figure, 0

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint, with the step up to which figures are counted."""
        known = super().state()
        seen = {"counted": self.counted, "greater_is_better": self.patience.greater_is_better}
        return {**known, "attributes": {**known["attributes"], **seen}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restores the state of the checkpoint, and counts what has come since; a run that has ended takes no further step."""
        known = state.stateful_callbacks.get(type(self).__name__) if state.global_step else None
        if known:
            seen = dict(known["attributes"])
            self.counted = seen.pop("counted")
            self.patience = dataclasses.replace(self.patience, **seen)
        self._count(state.global_step)
        if self.patience.over:
            self.trainer.order.steps = state.max_steps = state.global_step

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Nothing: the trainer's own evaluations do not count."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Counts what has come, and ends the training if it no longer improves."""
        before = self.patience.over
        self._count(state.global_step)
        if self.patience.over and not before:
            control.should_training_stop = True
            state.max_steps = state.global_step
            self.trainer.note("early_stopped", step=state.global_step, **self._facts())

    def _count(self, step: int) -> None:
        """Adds the figures of checkpoints up to a step that are new. Collective."""
        for at, value, higher in from_rank_0(self._new(step)):
            self.counted = at
            if value is not None:
                if higher is not None:
                    self.patience = dataclasses.replace(self.patience, greater_is_better=higher)
                self.patience = self.patience.after(at, value)

    def _new(self, last: int) -> list[tuple[int, float | None, bool | None]]:
        """Step, figure, and whether a higher one is better, of new evaluations, up to the first that has not ended."""
        if not self.trainer.recorder.is_main:
            return []
        found: list[tuple[int, float | None, bool | None]] = []
        for step, _ in evaluation_folders(self.trainer.recorder.run):
            if not self.counted < step <= last:
                continue
            settled = read_settled(self.trainer.recorder.run, step)
            if settled is None:
                break
            value = settled.scores.get(self.figure)
            if value is None:
                say(
                    f"plugins.early_stopping: the evaluation of step {step} has no figure {self.figure}; it does not count"
                )
            found.append((step, value, settled.higher_is_better.get(self.figure)))
        return found
