"""batch: how many sequences per step."""

from dataclasses import dataclass
from typing import Optional, Union

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


@dataclass(kw_only=True)
class BatchConfig:
    """How many sequences per step. Gradient accumulation follows: global / (micro * data-parallel ranks)."""

    global_batch_size: int = 32
    """Sequences per optimizer step, summed over all ranks."""
    micro_batch_size: Union[int, str] = 1  # noqa: UP007
    """Sequences per rank in one forward pass; `auto` takes the fastest size that fits into GPU memory."""
    eval_micro_batch_size: Optional[int] = None  # noqa: UP045
    """Sequences per rank in one forward pass of an evaluation; null takes micro_batch_size."""
