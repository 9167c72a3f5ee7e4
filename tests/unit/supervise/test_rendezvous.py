"""The port at which the ranks meet."""

from pathlib import Path

import pytest

from launcher.supervise.rendezvous import bind, choose_port


def test_a_port_is_outside_the_range_that_the_kernel_hands_out():
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert all(not low <= choose_port() <= high for _ in range(200))


def test_a_port_is_held_from_the_moment_it_is_bound():
    port = choose_port()
    with bind(port), pytest.raises(OSError):
        bind(port)
