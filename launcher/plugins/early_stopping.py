"""Early stopping: end a run whose evaluations no longer improve, and export its best weights.

Memory: none. Disk: one more checkpoint, that of the best evaluation. Speed: a save at each evaluation that improves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launcher.errors import PlanError
from launcher.plan.traits import Traits
from launcher.plugins.base import Plugin, Sharing, check_types
from launcher.plugins.patience import Patience
from launcher.run.metrics import TASKS

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

_KEY = "plugins.early_stopping"


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(Plugin):
    """Stop after `patience` evaluations without an improvement. Source: Prechelt, Early Stopping - But When? (1998)."""

    patience: int = 3
    """The run ends after this number of consecutive evaluations without an improvement."""
    threshold: float = 0.0
    """A value counts as an improvement if it is better than the best one by more than this."""
    metric: str = "eval_loss"
    """Name of the metric: eval_loss, another that the trainer logs at an evaluation, or tasks/TASK/METRIC, a figure of
    eval_job, which counts at the first save after its evaluation has ended."""
    greater_is_better: bool = False
    """Whether a higher value of the metric is better. For a figure of a task, the task's own definition counts if there is
    one."""
    restore_best: bool = True
    """Export the weights of the best evaluation; false exports the last."""

    def __post_init__(self) -> None:
        check_types(self, _KEY)
        if self.patience < 1:
            raise ValueError(f"{_KEY}.patience={self.patience} must be at least 1 evaluation")
        if not 0 <= self.threshold < float("inf"):
            raise ValueError(f"{_KEY}.threshold={self.threshold} must be a number of at least 0")
        if self._of_task is not None and not all(self._of_task.partition("/")):
            raise ValueError(
                f"{_KEY}.metric={self.metric} must be tasks/TASK/METRIC, such as tasks/hellaswag/acc_norm"
            )
        if self.restore_best and self._of_task is not None:
            raise ValueError(
                f"{_KEY}.restore_best=true finds the best checkpoint by its eval_loss, but {_KEY}.metric={self.metric} is a "
                f"figure of tasks, whose last evaluations can end after the run; use {_KEY}.restore_best=false, and keep the "
                f"best checkpoint by eval_job.metric={self._of_task} eval_job.keep_best=1 for export RUN --checkpoint STEP"
            )
        if self.restore_best and self.metric != "eval_loss":
            raise ValueError(
                f"{_KEY}.restore_best=true finds the best checkpoint by its eval_loss, but {_KEY}.metric={self.metric}; use "
                f"{_KEY}.restore_best=false"
            )
        if self.metric == "eval_loss" and self.greater_is_better:
            raise ValueError(
                f"{_KEY}.greater_is_better=true would stop a run whose eval_loss improves: a lower loss is better; use false"
            )

    @property
    def _of_task(self) -> str | None:
        """TASK/METRIC; None for a metric of the trainer's own evaluations."""
        return self.metric.removeprefix(TASKS) if self.metric.startswith(TASKS) else None

    @property
    def traits(self) -> Traits:
        """It reads the results of evaluations."""
        return Traits(needs_eval=self._of_task is None, needs_task=self._of_task)

    @property
    def sharing(self) -> Sharing:
        """Every trial watches its own evaluations."""
        return Sharing(free=("patience", "threshold"))

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """The plan, which keeps the best checkpoint unless the last weights are exported."""
        if not self.restore_best:
            return plan
        if plan.save is None:
            raise PlanError(
                f"{_KEY}.restore_best=true exports from a checkpoint: put sharded_checkpoint before early_stopping in "
                f"plugin=[...], or set {_KEY}.restore_best=false"
            )
        return replace(plan, save=replace(plan.save, keep_best=max(1, plan.save.keep_best)))

    def on_trainer(self, trainer: Any) -> Any:
        """The trainer with the callback, which runs before all others so that they see the best weights at the end."""
        from launcher.plugins.on_rank.early_stop import EarlyStop

        patience = Patience(
            patience=self.patience, threshold=self.threshold, greater_is_better=self.greater_is_better
        )
        watch: EarlyStop = EarlyStop(trainer, patience, self.metric, restore_best=self.restore_best)
        if self._of_task is not None:
            from launcher.plugins.on_rank.early_stop_by_task import StopByTask

            watch = StopByTask(trainer, patience, self._of_task)
        trainer.callback_handler.callbacks.insert(0, watch)
        return trainer
