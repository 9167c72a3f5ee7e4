"""How many tokens a token attends to, summed over a model's blocks: windows and linear attention see less than the sequence."""

from launcher.config import ArchitectureConfig
from launcher.plan.blocks import head_dim


def full_blocks(shape: ArchitectureConfig) -> int:
    """Blocks whose attention sees the whole sequence."""
    full = shape.full_attention_layers
    return shape.num_hidden_layers if full is None else full


def windowed_blocks(shape: ArchitectureConfig) -> int:
    """Blocks whose attention sees a window; those with linear attention do not count, which compares no pairs of tokens."""
    return shape.num_hidden_layers - full_blocks(shape) if shape.sliding_window else 0


def seen_in_window(shape: ArchitectureConfig, length: int) -> float:
    """Mean number of tokens that a token of a sequence of that length sees through the window."""
    window = min(shape.sliding_window or length, length)
    return window * (1 - window / (2 * length))


def seen_tokens(shape: ArchitectureConfig, length: int) -> float:
    """Mean number of tokens that a token attends to, summed over all blocks, by causal attention."""
    return full_blocks(shape) * length / 2 + windowed_blocks(shape) * seen_in_window(shape, length)


def attention_width(shape: ArchitectureConfig) -> int:
    """Width of all heads of a block together."""
    return shape.num_attention_heads * head_dim(shape)
