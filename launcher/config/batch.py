"""batch: how many sequences per step."""

from dataclasses import dataclass
from typing import Union


@dataclass(kw_only=True)
class BatchConfig:
    """How many sequences per step. Gradient accumulation follows: global / (micro * data-parallel ranks)."""

    global_batch_size: int = 32
    """Sequences per optimizer step, summed over all ranks."""
    micro_batch_size: Union[int, str] = 1  # noqa: UP007
    """Sequences per rank in one forward pass; `auto` takes the fastest size that fits into GPU memory."""
