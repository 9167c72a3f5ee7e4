"""Values that must be the same on all ranks."""

from typing import Any

import torch
import torch.distributed as dist


def from_rank_0(value: Any) -> Any:
    """The value of rank 0, on every rank. Collective: all ranks call it at the same point."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def of_all_ranks(value: Any) -> list[Any]:
    """The value of each rank, in their order, on every rank. Collective."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def sums(values: list[float], device: Any) -> list[float]:
    """Each value summed over all ranks. Collective."""
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(tensor)
    return tensor.tolist()
