"""Where a node looks for the supervisor, and what it says if it finds none."""

import errno
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.errors import RunError
from launcher.ports import bind, choose_port
from launcher.supervise import addresses


def test_this_host_has_its_loopback_address():
    known = addresses.interface_addresses()
    assert "127.0.0.1" in known["lo"]
    assert addresses.interface_of("127.0.0.1") is None


def test_every_own_address_belongs_to_its_interface():
    for name, own in addresses.interface_addresses().items():
        for address in own:
            if not addresses.is_loopback(address):
                assert addresses.interface_of(address) == name


def test_the_name_comes_first_and_the_addresses_follow_for_nodes_that_cannot_resolve_it():
    found = addresses.candidates("n1", "", None)
    assert found[0] == "n1" and not any(addresses.is_loopback(one) for one in found[1:])
    assert addresses.candidates("n1", "i", None)[:2] == ["n1i", "n1"]


def test_a_named_interface_is_the_only_way_and_an_unknown_one_is_refused_with_the_known_ones():
    assert addresses.candidates("n1", "i", "lo") == ["127.0.0.1"]
    with pytest.raises(RunError, match=r"cluster\.interface=ib7 has no address.*lo"):
        addresses.candidates("n1", "", "ib7")


def test_addresses_of_both_kinds_pass_through_one_word():
    word = addresses.join(["n1i", "10.0.0.1", "fd00::1"], 5)
    assert addresses.split(word) == [("n1i", 5), ("10.0.0.1", 5), ("fd00::1", 5)]


@pytest.mark.parametrize(
    ("address", "expected"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("10.0.0.1", "10.0.0.1")],
)
def test_an_address_of_a_socket_becomes_plain(address: str, expected: str):
    assert addresses.plain(address) == expected


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (TimeoutError("timed out"), "firewall"),
        (OSError(errno.ECONNREFUSED, "Connection refused"), "refused"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "No route to host"),
    ],
)
def test_a_failure_is_called_what_it_is(error: OSError, says: str):
    assert says in addresses.why(error)


LIMITS = """
import resource
from launcher.supervise.preflight import raise_limits
print(raise_limits())
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_soft_limits_become_the_hard_ones_and_a_low_hard_one_is_reported():
    done = subprocess.run(
        ["bash", "-c", 'ulimit -Sn 256; ulimit -Hn 2048; exec "$0" -c "$1"', sys.executable, LIMITS],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    low, limits = done.stdout.splitlines()
    assert "open files is 2048" in low and limits == "(2048, 2048)"


def test_a_port_is_outside_the_range_that_the_kernel_hands_out():
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert all(not low <= choose_port() <= high for _ in range(200))


def test_a_port_is_held_from_the_moment_it_is_bound():
    port = choose_port()
    with bind(port), pytest.raises(OSError):
        bind(port)
