"""Sharded checkpoints: every rank writes its shard, and the scheduler may restart the job.

Disk: the trained state (with LoRA only the adapter's) in fp32 with Adam's two moments, 12 bytes per trained parameter, for
each kept checkpoint, 4 bytes with weights_only. Memory: one such copy in host memory, divided among the ranks. Speed:
training pauses for that copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launcher.clusters.registry import find_cluster
from launcher.errors import PlanError
from launcher.plan.length import RULE, is_every, steps_of
from launcher.plan.save import make_save_plan
from launcher.plan.traits import Traits
from launcher.plugins.base import Plugin, Sharing, check_types

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan


@dataclass(frozen=True, kw_only=True)
class ShardedCheckpoint(Plugin):
    """Saves every `save_steps` steps; a run resumes from its newest committed checkpoint."""

    save_steps: Any = 100
    """Optimizer steps between checkpoints. A value below 1 is a share of all steps, rounded up; `epoch` saves once per epoch;
    `auto` uses the interval that loses the least time, from measured times."""
    keep_last: int = 2
    """Number of newest committed checkpoints to keep."""
    keep_every: int = 0
    """Keep the checkpoint of every step that is a multiple of this and never delete it; 0 keeps none."""
    keep_best: int = 0
    """Number of checkpoints with the lowest evaluation loss to keep."""
    weights_only: bool = False
    """Save the weights without the optimizer's state, a third of the size. Such a checkpoint starts another run or is exported;
    this run resumes from it only with resume_weights_only=true, which makes a new optimizer at its step."""
    asynchronous: bool = True
    """Continue training while a checkpoint is written; false waits until it is on disk."""
    timeout_s: int = 600
    """Seconds after which a save fails if the part of another rank has not arrived."""
    requeue: bool = True
    """Let the scheduler requeue the job after a node failure or a pre-emption."""

    def __post_init__(self) -> None:
        check_types(self, "plugins.sharded_checkpoint")
        if self.save_steps != "auto" and not is_every(self.save_steps):
            raise ValueError(
                f"plugins.sharded_checkpoint.save_steps={self.save_steps} must be {RULE}, or auto"
            )
        for name, least in (("keep_last", 1), ("keep_every", 0), ("keep_best", 0), ("timeout_s", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"plugins.sharded_checkpoint.{name}={getattr(self, name)} must be at least {least}"
                )

    @property
    def traits(self) -> Traits:
        """It saves checkpoints, and does not change what the run learns."""
        return Traits(saves=True, same_training=True)

    def rehearsed(self, save_every: int) -> Mapping[str, Any]:
        """Frequent saves, but no checkpoint of the best evaluation, because the copy does not evaluate."""
        return {"save_steps": save_every, "keep_best": 0}

    @property
    def sharing(self) -> Sharing:
        """Every trial saves its own checkpoints."""
        return Sharing(free=("save_steps", "keep_last", "keep_every", "keep_best"))

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """The plan with saves, and with the option that lets the scheduler requeue the job, unless the site has chosen it."""
        auto = self.save_steps == "auto"
        steps = None if auto else steps_of(self.save_steps, plan.length)
        self._check_best(plan, steps)
        options = find_cluster(plan.cluster).with_requeue(plan.job_options, self.requeue)
        save = make_save_plan(
            save_steps=steps or 0,
            save_every=None if auto or steps else self.save_steps,
            keep=(self.keep_last, self.keep_every, self.keep_best),
            weights_only=self.weights_only,
            asynchronous=self.asynchronous,
            timeout_s=self.timeout_s,
            nodes=plan.topology.nodes,
            failures_per_1000_node_days=plan.failures_per_1000_node_days,
            save_s=plan.facts.save_s,
            restart_s=plan.facts.restart_s,
        )
        return replace(plan, save=save, job_options=options)

    def _check_best(self, plan: LaunchPlan, steps: int | None) -> None:
        evaluates = plan.trainer_args.get("eval_steps")
        if not self.keep_best or (
            plan.length.eval_every is not None and plan.length.eval_every == self.save_steps
        ):
            return
        if not evaluates or not steps or steps % evaluates:
            raise PlanError(
                f"plugins.sharded_checkpoint.keep_best={self.keep_best} needs an evaluation at every saved step: set "
                f"trainer.eval_steps so that plugins.sharded_checkpoint.save_steps={self.save_steps} is a multiple of it "
                f"(it is {evaluates}), or both to epoch"
            )
