"""Checkpoints that every rank writes its shard of, and a job that Slurm may start again.

Disk: the trained state (an adapter's alone where the base is frozen, under ddp) per kept checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from launcher.plugins.base import Plugin, check_types

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan


@dataclass(frozen=True, kw_only=True)
class ShardedCheckpoint(Plugin):
    """Save every `save_steps`; go on from the newest committed checkpoint."""

    save_steps: int = 100
    """Optimizer steps between checkpoints."""
    keep_last: int = 2
    """Committed checkpoints to keep."""
    requeue: bool = True
    """Let Slurm queue the job again after a node failure or pre-emption."""

    def __post_init__(self) -> None:
        check_types(self, "plugins.sharded_checkpoint")
        for name in ("save_steps", "keep_last"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"plugins.sharded_checkpoint.{name}={getattr(self, name)} must be at least 1"
                )

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """Adds the interval, and the flag that lets Slurm requeue, unless the site has chosen that flag."""
        chosen = {"requeue", "no-requeue"} & set(plan.sbatch)
        asked = {} if chosen else {"requeue" if self.requeue else "no-requeue": ""}
        sbatch = {**plan.sbatch, **asked}
        return replace(plan, save_steps=self.save_steps, keep_last=self.keep_last, sbatch=sbatch)
