"""The strategy group: how training state is sharded."""

from dataclasses import dataclass
from enum import Enum


class Engine(Enum):
    """What shards the training state. `auto`: the planner takes the fastest that fits."""

    auto = "auto"
    ddp = "ddp"
    deepspeed = "deepspeed"
    fsdp2 = "fsdp2"


@dataclass(kw_only=True)
class StrategyConfig:
    """How the training state is sharded."""

    engine: Engine = Engine.ddp
    zero_stage: int = 0
    """ZeRO stage: 1 shards optimizer state, 2 also gradients, 3 also weights. 0 with other engines."""
    offload_optimizer: bool = False
    """Keep optimizer state in host memory (ZeRO 1 to 3)."""
    offload_param: bool = False
    """Keep weights in host memory: ZeRO-3, or FSDP2's CPU offload."""
