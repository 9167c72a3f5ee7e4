"""The strategy group: how training state is sharded."""

from dataclasses import dataclass, field
from typing import Any, Optional

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


@dataclass(kw_only=True)
class StrategyConfig:
    """How the training state is sharded."""

    engine: str = "ddp"
    """What shards the training state: the name of a strategy (ddp, fsdp2, or one of another package), or `deepspeed` for the
    ZeRO stage of zero_stage; `auto` lets the planner take the fastest strategy that fits into memory."""
    zero_stage: int = 0
    """ZeRO stage: 1 shards the optimizer state, 2 also the gradients, 3 also the weights; 0 without DeepSpeed."""
    sequence_parallel_size: int = 1
    """Ranks that share the tokens of each sequence (Ulysses): each takes 1 / sequence_parallel_size of every sequence, and in
    attention that share of the heads. It divides the activations of a long sequence, and the number of ranks that take
    different samples. With strategy=auto the planner chooses it unless it is set to another value than 1."""
    offload_optimizer: bool = False
    """Whether to keep the optimizer state in host memory (ZeRO 1 to 3)."""
    offload_param: bool = False
    """Whether to keep the weights in host memory (ZeRO-3, or CPU offload of FSDP2)."""
    dp_replicate_size: int = 1
    """FSDP2: number of copies of the sharded state (hybrid sharding). Each copy is sharded over ranks / dp_replicate_size
    neighbouring ranks, and gradients are averaged over the copies; with the number of nodes, each node holds one copy."""
    hpz_size: int = 1
    """ZeRO-3: number of neighbouring ranks that share a second copy of the weights (DeepSpeed's zero_hpz_partition_size), from
    which all gathers but the first of a step are made; usually the GPUs of a node. 1 keeps no second copy."""
    cpu_ram_efficient_loading: Optional[bool] = None  # noqa: UP045
    """FSDP2: whether one rank of each node loads the model and the other ranks get their shares from rank 0; with false every
    rank holds the whole model in host memory while it loads. null means true. Quantised weights, and adapters that are
    initialised with a part of the weights (PiSSA, OLoRA), are loaded by every rank."""
    overlap_comm: Optional[bool] = None  # noqa: UP045
    """DeepSpeed: whether gradients are reduced during the backward pass, which needs memory for a second bucket. null
    means true."""
    deepspeed: dict[str, Any] = field(default_factory=dict[str, Any])
    """Keys of DeepSpeed's configuration that have no key of their own, by their names, such as
    strategy.deepspeed.zero_optimization.sub_group_size=100000000. They are put into deepspeed.json as they are."""
