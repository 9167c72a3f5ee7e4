"""zero1: DeepSpeed shards optimizer state over all ranks."""

from __future__ import annotations

from typing import ClassVar

from launcher.config import StrategyConfig
from launcher.strategies._deepspeed import ENGINE, Zero, check_offload
from launcher.strategies.trained import Trained


class Zero1(Zero):
    """ZeRO stage 1."""

    __slots__ = ()
    order: ClassVar[int | None] = 20

    def check(self, config: StrategyConfig) -> None:
        """PlanError for offloaded weights."""
        check_offload(config, self.zero_stage)

    def carried_bytes(self, load: Trained) -> float:
        """Bytes of whole gradients: stage 1 reduces them only after the last of several backward passes.

        Source: DeepSpeed 0.19.8, stage_1_and_2.py (reduce_gradients).
        """
        return load.trained * load.gradient_width if load.accumulation > 1 else 0

    def embedding_bytes(self, load: Trained) -> float:
        """As in the other stages, without a gradient that `carried_bytes` already counts."""
        copied = Zero.embedding_bytes(self, load)
        return copied - (load.table * load.width if load.accumulation > 1 and not load.tied else 0)

    def gradient_bytes(self, load: Trained) -> float:
        """Bytes of the rank's share, and also of whole gradients if weights have another format and must be converted."""
        sharded = Zero.gradient_bytes(self, load)
        if not sharded or load.gradient_width == load.trained_width or load.degrees.shard_size == 1:
            return sharded
        return sharded + load.trained * load.gradient_width


SPEC = Zero1(name="zero1", engine=ENGINE, zero_stage=1)
