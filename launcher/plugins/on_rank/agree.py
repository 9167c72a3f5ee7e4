"""Values that all ranks must have alike."""

from typing import Any

import torch
import torch.distributed as dist


def from_rank_0(value: Any) -> Any:
    """Rank 0's value, on every rank; every rank must ask at the same point."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def sums(values: list[float], device: Any) -> list[float]:
    """Each value summed over all ranks; every rank must ask at the same point."""
    told = torch.tensor(values, dtype=torch.float64, device=device)
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(told)
    return told.tolist()
