"""torch 2.13: a gloo group beside the default one, for processes that are not ranks of the same job.

Symptom: init_process_group makes one world for a process, and new_group only groups of its ranks; nothing public makes a group
of other processes at a store of their own, on a chosen address.
"""

import datetime
from typing import Any

import torch.distributed as dist


def join_by_gloo(store: Any, rank: int, size: int, address: str, timeout: datetime.timedelta) -> Any:
    """The group of `size` processes that meet at `store`, with this process at an address of its host. Collective."""
    options = dist.ProcessGroupGloo._Options()
    options._devices = [dist.ProcessGroupGloo.create_device(hostname=address)]
    options._timeout = timeout
    return dist.ProcessGroupGloo(dist.PrefixStore("weights", store), rank, size, options)
