"""zero2: DeepSpeed shards optimizer state and gradients over all ranks."""

from __future__ import annotations

from typing import ClassVar

from launcher.config import StrategyConfig
from launcher.strategies._deepspeed import ENGINE, Zero, check_offload
from launcher.strategies.trained import Trained, share_sent


class Zero2(Zero):
    """ZeRO stage 2."""

    __slots__ = ()
    order: ClassVar[int | None] = 30

    def check(self, config: StrategyConfig) -> None:
        """PlanError for offloaded weights."""
        check_offload(config, self.zero_stage)

    def communication_bytes(self, load: Trained, weights: float) -> float:
        """Bytes of the gradients, sent in every forward and backward pass of a step, and of the new weights, sent once.

        Source: ZeRO (arXiv 1910.02054), section 7.2.1; DeepSpeed 0.19.8 on accumulation.
        """
        gradients = load.trained * load.trained_width * load.accumulation
        return share_sent(load.degrees.shard_size) * (gradients + load.trained * load.width)


SPEC = Zero2(name="zero2", engine=ENGINE, zero_stage=2)
