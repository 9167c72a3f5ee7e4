"""The strategy group: how training state is sharded."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class StrategyConfig:
    """How the training state is sharded."""

    engine: str = "ddp"
    """What shards it: the name of a strategy (ddp, fsdp2, or one of another package), `deepspeed` for the ZeRO stage of
    zero_stage, or auto, by which the planner takes the fastest that fits."""
    zero_stage: int = 0
    """ZeRO stage: 1 shards optimizer state, 2 also gradients, 3 also weights. 0 with other engines."""
    offload_optimizer: bool = False
    """Keep optimizer state in host memory (ZeRO 1 to 3)."""
    offload_param: bool = False
    """Keep weights in host memory: ZeRO-3, or FSDP2's CPU offload."""
