"""torch's CUDA caching allocator with expandable segments: what it maps for a sequence of requests."""

import bisect
from dataclasses import dataclass
from typing import Any

from tests.fakecuda.allocator import LARGE_SEGMENT, SMALL, SMALL_SEGMENT, SMALLEST, OutOfMemory


@dataclass(eq=False)
class Part:
    """A run of addresses of a segment: taken, free, or without memory (not mapped)."""

    start: int
    size: int
    small: bool
    mapped: bool = False
    taken: bool = False
    before: "Part | None" = None
    after: "Part | None" = None
    number: int = 0
    """Of the request that it serves."""

    @property
    def order(self) -> tuple[int, int]:
        """Its position in a pool: the smallest that is large enough is taken, then the lowest."""
        return self.size, self.start


class Segment:
    """Addresses of one pool, to which pages are mapped as they are needed."""

    def __init__(self, page: int, small: bool) -> None:
        self.page, self.small = page, small
        self.free: list[tuple[tuple[int, int], Any]] = []
        self.empty: list[tuple[tuple[int, int], Any]] = []
        self.put(Part(0, 1 << 50, small))

    def put(self, part: Part) -> None:
        """Lists a part that is not taken."""
        bisect.insort(
            self.free if part.mapped else self.empty, (part.order, part), key=lambda entry: entry[0]
        )

    def drop(self, part: Part) -> None:
        """Takes it from its list."""
        parts = self.free if part.mapped else self.empty
        del parts[bisect.bisect_left(parts, (part.order,))]

    def split(self, part: Part, size: int) -> Part:
        """What is left of `part`, which keeps `size` bytes; neither is listed."""
        rest = Part(part.start + size, part.size - size, part.small, part.mapped, False, part, part.after)
        if part.after is not None:
            part.after.before = rest
        part.after, part.size = rest, size
        return rest

    def join(self, part: Part) -> Part:
        """`part` with its neighbours of the same kind, which are taken from their list."""
        for near in (part.before, part.after):
            if near is None or near.taken or near.mapped != part.mapped:
                continue
            self.drop(near)
            first, second = (near, part) if near is part.before else (part, near)
            first.size += second.size
            first.after = second.after
            if second.after is not None:
                second.after.before = first
            part = first
        return part


class ExpandableAllocator:
    """The allocator of one device with expandable_segments:True, with one stream.

    A pool is one segment of addresses. Requests are rounded to 512 bytes; up to 1 MiB they share pages of 2 MiB, larger ones
    pages of 20 MiB. The best fit among free parts is taken and split; if there is none, pages are mapped where addresses
    suffice, next to a free part if possible. Where the device is full (`limit`, in bytes), pages that are wholly free are
    given back before it fails.
    Source: torch 2.13, c10/cuda/CUDACachingAllocator.cpp (ExpandableSegment, find_expandable_block,
    try_allocate_expandable_block, unmap_block).
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.allocated = self.reserved = self.peak_allocated = self.peak_reserved = 0
        self._segments = {True: Segment(SMALL_SEGMENT, True), False: Segment(LARGE_SEGMENT, False)}

    def take(self, size: int) -> Part:
        """A part of at least that many bytes. OutOfMemory: the device has no room for it."""
        size = max(SMALLEST, -(-size // SMALLEST) * SMALLEST)
        segment = self._segments[size <= SMALL]
        at = bisect.bisect_left(segment.free, ((size, 0),))
        if at < len(segment.free):
            part = segment.free.pop(at)[1]
        else:
            part = self._map(segment, size) or self._map_released(segment, size)
        if part.size > size:
            segment.put(segment.split(part, size))
        part.taken = True
        self.allocated += size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return part

    def give_back(self, part: Part) -> None:
        """Frees a part for the next request; its pages stay mapped."""
        self.allocated -= part.size
        part.taken = False
        segment = self._segments[part.small]
        segment.put(segment.join(part))

    def forget_peaks(self) -> None:
        """Begins both peaks anew."""
        self.peak_allocated, self.peak_reserved = self.allocated, self.reserved

    def _map_released(self, segment: Segment, size: int) -> Part:
        for one in self._segments.values():
            self._release(one)
        if (part := self._map(segment, size)) is None:
            raise OutOfMemory
        return part

    def _map(self, segment: Segment, size: int) -> Part | None:
        """A free part of that many bytes, not listed; None if the device is full."""
        for _, empty in segment.empty:
            free = empty.before if empty.before is not None and not empty.before.taken else None
            there = (free.size if free else 0) + empty.size
            if there < size and not (
                empty.after and not empty.after.taken and there + empty.after.size >= size
            ):
                continue
            needed = size - (free.size if free else 0)
            mapped = min(-(-needed // segment.page) * segment.page, empty.size)
            if self.limit is not None and self.reserved + mapped > self.limit:
                return None
            segment.drop(empty)
            if mapped < empty.size:
                segment.put(segment.split(empty, mapped))
            empty.mapped = True
            self.reserved += mapped
            self.peak_reserved = max(self.peak_reserved, self.reserved)
            return segment.join(empty)
        raise AssertionError("a segment has an end without memory")

    def _release(self, segment: Segment) -> None:
        """Gives whole free pages back to the device."""
        for _, part in list(segment.free):
            begin = -(-part.start // segment.page) * segment.page
            end = (part.start + part.size) // segment.page * segment.page
            if begin >= end:
                continue
            segment.drop(part)
            if end < part.start + part.size:
                segment.put(segment.split(part, end - part.start))
            if begin > part.start:
                rest = segment.split(part, begin - part.start)
                segment.put(part)
                part = rest
            part.mapped = False
            self.reserved -= part.size
            segment.put(segment.join(part))
