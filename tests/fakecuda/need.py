"""The least memory of a device on which a run's requests do not fail: more than its tensors by what fragments hold."""

from typing import Any

from tests.fakecuda.allocator import MIB, CachingAllocator, OutOfMemory
from tests.fakecuda.expandable import ExpandableAllocator

STEP = 8 * MIB
"""How exact the answer is."""
Kind = type[CachingAllocator] | type[ExpandableAllocator]


def least_memory(requests: list[int], trained_from: int, kind: Kind = CachingAllocator) -> tuple[int, int]:
    """(most bytes of tensors, least bytes of a device) of the requests since training began.

    What was loaded before is put side by side first, in its order: what loading itself leaves in fragments is not counted, and
    neither is a whole model that the fake device holds before it is sharded.
    """
    loaded, later = _split(requests, trained_from)
    free = _replay(kind, loaded, later, None)
    assert free is not None
    low, high = free.peak_allocated, free.peak_reserved
    if _replay(kind, loaded, later, low) is not None:
        return low, low
    while high - low > STEP:
        middle = (low + high) // 2
        low, high = (middle, high) if _replay(kind, loaded, later, middle) is None else (low, middle)
    return free.peak_allocated, high


def _split(requests: list[int], trained_from: int) -> tuple[dict[int, int], list[int]]:
    """Number -> bytes of what is alive when training begins, and what is requested after that."""
    alive: dict[int, int] = {}
    number = 0
    for request in requests[:trained_from]:
        if request < 0:
            del alive[-request]
        else:
            number += 1
            alive[number] = request
    return alive, [number, *requests[trained_from:]]


def _replay(kind: Kind, loaded: dict[int, int], later: list[int], limit: int | None) -> Any | None:
    """The allocator after all requests; None if the device was too small. The first entry of `later`: the number of requests
    before them."""
    allocator: Any = kind(limit)
    try:
        blocks = {number: allocator.take(size) for number, size in loaded.items()}
        allocator.forget_peaks()
        number = later[0]
        for request in later[1:]:
            if request < 0:
                allocator.give_back(blocks.pop(-request))
            else:
                number += 1
                blocks[number] = allocator.take(request)
    except OutOfMemory:
        return None
    return allocator
