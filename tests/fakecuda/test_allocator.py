"""torch's caching allocator, in Python."""

from tests.fakecuda.allocator import MIB, CachingAllocator


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
