"""Early stopping: end a run whose evaluation has stopped getting better, and export its best weights.

Memory: none. Disk: one checkpoint more, of the best evaluation. Speed: a save at each better evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launcher.errors import PlanError
from launcher.plugins.base import Plugin, check_types
from launcher.plugins.patience import Patience

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

_KEY = "plugins.early_stopping"


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(Plugin):
    """Stop after `patience` evaluations without a better one. Source: Prechelt, Early Stopping - But When? (1998)."""

    patience: int = 3
    """Evaluations in a row without a better value, after which the run ends."""
    threshold: float = 0.0
    """A value must be better by more than this to count."""
    metric: str = "eval_loss"
    """Name of a metric of the evaluation: eval_loss, or another that the trainer logs there."""
    greater_is_better: bool = False
    """Whether the metric should rise."""
    restore_best: bool = True
    """Export the weights of the best evaluation; false exports the last."""

    def __post_init__(self) -> None:
        check_types(self, _KEY)
        if self.patience < 1:
            raise ValueError(f"{_KEY}.patience={self.patience} must be at least 1 evaluation")
        if not 0 <= self.threshold < float("inf"):
            raise ValueError(f"{_KEY}.threshold={self.threshold} must be a number of at least 0")
        if self.restore_best and self.metric != "eval_loss":
            raise ValueError(
                f"{_KEY}.restore_best=true finds the best checkpoint by its eval_loss, and {_KEY}.metric={self.metric}; use "
                f"{_KEY}.restore_best=false"
            )
        if self.metric == "eval_loss" and self.greater_is_better:
            raise ValueError(
                f"{_KEY}.greater_is_better=true would stop a run whose eval_loss falls; use false"
            )

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """Refuses a run without evaluations; lets the best checkpoint be kept."""
        if not plan.trainer_args.get("eval_steps"):
            raise PlanError(
                "plugins.early_stopping needs evaluations to look at: set data.eval_path and trainer.eval_steps, or take "
                "early_stopping out of plugin=[...]"
            )
        if not self.restore_best:
            return plan
        if plan.save is None:
            raise PlanError(
                f"{_KEY}.restore_best=true exports from a checkpoint: put sharded_checkpoint before early_stopping in "
                f"plugin=[...], or set {_KEY}.restore_best=false"
            )
        return replace(plan, save=replace(plan.save, keep_best=max(1, plan.save.keep_best)))

    def on_trainer(self, trainer: Any) -> Any:
        """Adds the watch; before all other callbacks, so that what they do at the end they do with the best weights."""
        from launcher.plugins.on_rank.early_stop import EarlyStop

        patience = Patience(
            patience=self.patience, threshold=self.threshold, greater_is_better=self.greater_is_better
        )
        watch = EarlyStop(trainer, patience, self.metric, restore_best=self.restore_best)
        trainer.callback_handler.callbacks.insert(0, watch)
        return trainer
