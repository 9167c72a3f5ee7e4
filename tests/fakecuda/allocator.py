"""torch's CUDA caching allocator: what it counts as allocated and as reserved for a sequence of requests."""

import bisect
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20
SMALLEST, SMALL, SMALL_SEGMENT, LARGE, LARGE_SEGMENT, ROUND_LARGE = (
    512, MIB, 2 * MIB, 10 * MIB, 20 * MIB, 2 * MIB,
)  # fmt: skip


@dataclass(eq=False)
class Block:
    """A run of bytes in a segment."""

    segment: int
    start: int
    size: int
    small: bool
    before: "Block | None" = None
    after: "Block | None" = None
    free: bool = False
    number: int = 0
    """Of the request that it serves."""

    @property
    def whole(self) -> bool:
        """Whether it is a segment that is not split."""
        return self.before is None and self.after is None

    @property
    def order(self) -> tuple[int, int, int]:
        """Its position in the pool: the smallest that is large enough is taken, then the lowest."""
        return self.size, self.segment, self.start


class OutOfMemory(Exception):
    """The device has no room for a segment."""


class CachingAllocator:
    """The allocator of one device, with one stream and its default settings.

    Requests are rounded to 512 bytes; up to 1 MiB they share segments of 2 MiB, below 10 MiB segments of 20 MiB; larger ones
    get a segment of their own, rounded to 2 MiB. The best fit is taken and split; neighbours merge when they are freed. Where
    the device is full (`limit`, in bytes), all segments that are free and not split are released before it fails.
    Source: torch 2.13, c10/cuda/CUDACachingAllocator.cpp (release_cached_blocks).
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.requests: list[int] = []
        """Bytes of a block that was taken, or the negative number of one that was given back, in their order."""
        self.trained_from = 0
        """Number of requests before training began."""
        self._taken = 0
        self._pools: dict[bool, list[tuple[tuple[int, int, int], Any]]] = {True: [], False: []}
        self._segments = 0
        self.allocated = self.reserved = 0
        self.peak_allocated = self.peak_reserved = 0

    def take(self, size: int) -> Block:
        """A block of at least that many bytes. OutOfMemory: the device has no room for it."""
        self.requests.append(size)
        size = max(SMALLEST, -(-size // SMALLEST) * SMALLEST)
        small = size <= SMALL
        pool = self._pools[small]
        at = bisect.bisect_left(pool, ((size, 0, 0),))
        block = pool.pop(at)[1] if at < len(pool) else self._segment(size, small)
        rest = block.size - size
        if rest >= SMALLEST if small else rest > SMALL:
            other = Block(block.segment, block.start + size, rest, small, block, block.after, free=True)
            if block.after is not None:
                block.after.before = other
            block.after, block.size = other, size
            self._put(other)
        block.free = False
        self._taken += 1
        block.number = self._taken
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def give_back(self, block: Block) -> None:
        """Frees a block for the next request; its segment stays reserved."""
        self.requests.append(-block.number)
        self.allocated -= block.size
        for near in (block.before, block.after):
            if near is not None and near.free:
                pool = self._pools[block.small]
                del pool[bisect.bisect_left(pool, (near.order,))]
                first, second = (near, block) if near is block.before else (block, near)
                first.size += second.size
                first.after = second.after
                if second.after is not None:
                    second.after.before = first
                block = first
        block.free = True
        self._put(block)

    def forget_peaks(self) -> None:
        """Begins both peaks anew."""
        self.peak_allocated, self.peak_reserved = self.allocated, self.reserved

    def _segment(self, size: int, small: bool) -> Block:
        whole = (
            SMALL_SEGMENT
            if small
            else LARGE_SEGMENT
            if size < LARGE
            else -(-size // ROUND_LARGE) * ROUND_LARGE
        )
        if self.limit is not None and self.reserved + whole > self.limit:
            self._release()
            if self.reserved + whole > self.limit:
                raise OutOfMemory
        self._segments += 1
        self.reserved += whole
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        return Block(self._segments, 0, whole, small)

    def _release(self) -> None:
        """Gives free segments back to the device."""
        for small, pool in self._pools.items():
            self.reserved -= sum(block.size for _, block in pool if block.whole)
            self._pools[small] = [(order, block) for order, block in pool if not block.whole]

    def _put(self, block: Block) -> None:
        bisect.insort(self._pools[block.small], (block.order, block), key=lambda entry: entry[0])
