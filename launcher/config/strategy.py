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
    """What shards the training state; `auto` lets the planner take the fastest strategy that fits into memory."""
    zero_stage: int = 0
    """ZeRO stage: 1 shards the optimizer state, 2 also the gradients, 3 also the weights; 0 without DeepSpeed."""
    offload_optimizer: bool = False
    """Whether to keep the optimizer state in host memory (ZeRO 1 to 3)."""
    offload_param: bool = False
    """Whether to keep the weights in host memory (ZeRO-3, or CPU offload of FSDP2)."""
