"""Ending training at the same step on every rank, once evaluations no longer improve."""

import dataclasses
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from launcher.errors import ConfigError
from launcher.plugins.on_rank.agree import from_rank_0
from launcher.plugins.patience import Patience


class EarlyStop(TrainerCallback, ExportableState):
    """Checks each evaluation during training. Every checkpoint contains its state."""

    def __init__(self, trainer: Any, patience: Patience, metric: str, *, restore_best: bool) -> None:
        self.trainer, self.patience, self.metric, self.restore_best = trainer, patience, metric, restore_best
        self.training = False

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint's trainer_state.json."""
        seen = {name: getattr(self.patience, name) for name in ("best", "best_step", "waited")}
        return {"args": {}, "attributes": seen}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restores the state of the checkpoint; a run that had already ended takes no further step."""
        self.training = True
        known = state.stateful_callbacks.get(type(self).__name__) if state.global_step else None
        if known:
            self.patience = dataclasses.replace(self.patience, **known["attributes"])
        if self.patience.over:
            self.trainer.order.steps = state.max_steps = state.global_step

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Adds a value. The evaluation before training does not count, because there is no checkpoint of it."""
        if not self.training or state.global_step == 0:
            return
        if self.metric not in metrics:
            known = sorted(name for name in metrics if name.startswith("eval_"))
            raise ConfigError(
                f"plugins.early_stopping.metric={self.metric} is not a metric of the evaluation; use one of {', '.join(known)}"
            )
        self.patience = self.patience.after(state.global_step, from_rank_0(float(metrics[self.metric])))
        if self.patience.waited == 0 and self.restore_best:
            self._save(control, "best")
        if self.patience.over:
            control.should_training_stop = True
            state.max_steps = state.global_step
            self._save(control, "early stop")
            self.trainer.note("early_stopped", step=state.global_step, **self._facts())

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Replaces the last weights by the best ones, if the run has ended."""
        self.training = False
        if not self.restore_best or state.global_step < state.max_steps:
            return
        step = self.trainer.go_back_to_best()
        if step is not None:
            self.trainer.note("restored", step=step, why="lowest eval_loss")

    def _save(self, control: Any, why: str) -> None:
        control.should_save = True
        self.trainer.save_reason = why

    def _facts(self) -> dict[str, Any]:
        seen = self.patience
        return {
            "metric": self.metric,
            "best": seen.best,
            "best_step": seen.best_step,
            "patience": seen.patience,
            "threshold": seen.threshold,
        }
