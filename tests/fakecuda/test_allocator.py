"""torch's caching allocator, in Python."""

import pytest

from tests.fakecuda.allocator import MIB, CachingAllocator, OutOfMemory
from tests.fakecuda.expandable import ExpandableAllocator
from tests.fakecuda.need import STEP, least_memory


def test_requests_are_rounded_to_512_bytes_and_share_a_segment():
    allocator = CachingAllocator()
    allocator.take(1)
    allocator.take(513)
    assert (allocator.allocated, allocator.reserved) == (3 * 512, 2 * MIB)


def test_a_freed_block_is_taken_again_and_neighbours_merge():
    allocator = CachingAllocator()
    first, second = allocator.take(8 * MIB), allocator.take(8 * MIB)
    assert allocator.reserved == 20 * MIB
    allocator.give_back(first)
    allocator.give_back(second)
    allocator.take(19 * MIB)  # what is left is too little for another large request
    assert allocator.reserved == allocator.peak_allocated == 20 * MIB


def test_a_large_request_has_a_segment_of_its_own():
    allocator = CachingAllocator()
    allocator.take(31 * MIB)
    assert (allocator.allocated, allocator.reserved) == (32 * MIB, 32 * MIB)


def test_a_full_device_releases_free_segments_before_it_fails():
    allocator = CachingAllocator(limit=64 * MIB)
    allocator.give_back(allocator.take(40 * MIB))
    allocator.take(60 * MIB)
    assert allocator.reserved == 60 * MIB
    with pytest.raises(OutOfMemory):
        allocator.take(10 * MIB)


def test_a_run_needs_more_than_its_tensors_where_a_small_one_splits_a_large_block():
    """60 MiB are freed, 11 of them are taken again and stay, and so 60 MiB need another segment: 120, not 71."""
    tensors, least = least_memory([60 * MIB, -1, 11 * MIB, 60 * MIB], trained_from=0)
    assert tensors == 71 * MIB
    assert 120 * MIB <= least <= 120 * MIB + STEP


def test_what_was_loaded_is_put_side_by_side():
    tensors, least = least_memory([60 * MIB, -1, 20 * MIB, 60 * MIB], trained_from=3)
    assert tensors == least == 80 * MIB


def test_a_growing_segment_maps_pages_and_puts_requests_side_by_side():
    allocator = ExpandableAllocator()
    parts = [allocator.take(11 * MIB) for _ in range(3)]
    assert (allocator.allocated, allocator.reserved) == (33 * MIB, 40 * MIB)
    for part in parts:
        allocator.give_back(part)
    allocator.take(40 * MIB)
    assert allocator.reserved == 40 * MIB
    allocator.take(1)
    assert allocator.reserved == 42 * MIB


def test_a_growing_segment_gives_back_whole_pages_between_tensors_that_stay():
    """Of a gap of 60 MiB that begins and ends within a page, 40 MiB are whole pages."""
    allocator = ExpandableAllocator(limit=140 * MIB)
    allocator.take(10 * MIB)
    gap = allocator.take(60 * MIB)
    allocator.take(30 * MIB)
    assert allocator.reserved == 100 * MIB
    allocator.give_back(gap)
    allocator.take(61 * MIB)
    assert allocator.reserved == 100 * MIB - 40 * MIB + 80 * MIB
    with pytest.raises(OutOfMemory):
        allocator.take(41 * MIB)


def test_pages_that_were_given_back_are_mapped_again():
    allocator = ExpandableAllocator(limit=120 * MIB)
    allocator.take(20 * MIB)
    gap = allocator.take(40 * MIB)
    allocator.take(20 * MIB)
    allocator.give_back(gap)
    allocator.give_back(allocator.take(60 * MIB))
    assert allocator.reserved == 100 * MIB
    for _ in range(2):
        allocator.take(40 * MIB)
    assert allocator.allocated == allocator.reserved == 120 * MIB


def test_where_a_small_request_splits_a_large_block_growing_segments_need_no_more_than_a_page():
    """The case that takes 120 MiB with fixed segments."""
    requests = [60 * MIB, -1, 11 * MIB, 60 * MIB]
    tensors, least = least_memory(requests, 0, ExpandableAllocator)
    assert tensors == 71 * MIB
    assert 80 * MIB <= least <= 80 * MIB + STEP
