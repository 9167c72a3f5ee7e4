"""torch's caching allocator, in Python."""

import pytest

from tests.fakecuda.allocator import MIB, CachingAllocator, OutOfMemory
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
