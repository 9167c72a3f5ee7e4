"""Bytes on one GPU of a server that generates: weights, and the cache of answers."""

from launcher.config import ArchitectureConfig
from launcher.plan.blocks import head_dim

_WIDTH = 2
"""Bytes of a value: a server generates in bf16."""


def server_weight_bytes(parameters: int, tensor_parallel_size: int) -> float:
    """Weights in bf16, of which each GPU of a copy holds a part.

    Source: vLLM's documentation, "Parallelism and Scaling". Not run so far.
    """
    return parameters * _WIDTH / tensor_parallel_size


def answer_bytes(shape: ArchitectureConfig, length: int, tensor_parallel_size: int) -> float:
    """Keys and values of one prompt with its answer, `length` tokens in sum. GPUs share the key-value heads; with more GPUs
    than heads, each GPU holds one.

    Source: Kwon et al., PagedAttention (arXiv 2309.06180), section 3; its paging wastes at most a block of 16 tokens.
    Not run so far.
    """
    heads = max(1, shape.num_key_value_heads // tensor_parallel_size)
    return 2 * shape.num_hidden_layers * heads * head_dim(shape) * length * _WIDTH
