"""The generation group: where the answers come from that a method trains on."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class GenerationMode(Enum):
    """Who generates the answers."""

    none = "none"
    server = "server"
    colocate = "colocate"


@dataclass(kw_only=True)
class GenerationConfig:
    """Who generates the answers of trainer=grpo."""

    mode: GenerationMode = GenerationMode.none
    """`none`: transformers, on the ranks that train. `server`: an inference server on nodes of its own, which gets the new
    weights before every step. `colocate`: vLLM inside of the ranks, on the GPUs that train."""
    nodes: int = 1
    """With server: nodes of the job that do not train, but generate: 1, or 0 for a server on the GPUs of the one training node
    that the ranks leave free."""
    gpus_per_node: Optional[int] = None  # noqa: UP045
    """With server: GPUs of the server; null takes resources.gpus_per_node, and with nodes=0 tensor_parallel_size."""
    engine: str = "vllm"
    """Name of the server's program. The command of vllm is known; another engine needs generation.command."""
    tensor_parallel_size: Optional[int] = None  # noqa: UP045
    """GPUs that share one copy of the model while it generates; null: all of the server's, and 1 in the ranks."""
    gpu_memory_utilization: Optional[float] = None  # noqa: UP045
    """Share of each GPU's memory that vLLM takes for weights and cache; null: 0.9 on a server, 0.3 in the ranks."""
    command: list[str] = field(default_factory=list[str])
    """Command that starts a server, as a list of words that no shell reads. Each {model}, {revision}, {host}, {port},
    {tensor_parallel_size} and {max_length} in a word is replaced. It must speak the protocol of trl's client, and stay in the
    foreground. Empty: that of the engine."""
    args: list[str] = field(default_factory=list[str])
    """More words at the end of the engine's own command, such as --enforce-eager."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    """Environment variables of the server, in addition to those of the ranks (cluster.env). Never put secrets here."""
    start_timeout_s: float = 600.0
    """Seconds from the start of a server until it must answer; the ranks wait for it that long, also when it is started
    again."""
    restarts: int = 3
    """Times that a server that ends, or stops answering, is started again within one attempt while the ranks wait."""
