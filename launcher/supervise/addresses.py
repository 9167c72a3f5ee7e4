"""Where the processes of a job meet: the addresses of a node and their interfaces, and where the supervisor is looked for."""

import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from launcher.errors import RunError

_SIOCGIFADDR = 0x8915
_IPV6 = Path("/proc/net/if_inet6")
_INTERNAL = ("docker", "virbr", "veth", "br-", "cni", "podman", "lxc")
"""Prefixes of the names of interfaces that lead only into the host itself."""
LOOPBACK = "lo"
"""The interface of the addresses that only this host reaches. Source: the kernel's drivers/net/loopback.c."""


def interface_addresses() -> dict[str, list[str]]:
    """Interface -> its IPv4 address and its global IPv6 addresses, in the kernel's order.

    Source: netdevice(7), SIOCGIFADDR; the kernel's Documentation of /proc/net/if_inet6.
    """
    found: dict[str, list[str]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                    raise
                found[name] = []
            else:
                found[name] = [socket.inet_ntoa(answer[20:24])]
    for line in _IPV6.read_text(encoding="utf-8").splitlines() if _IPV6.exists() else []:
        digits, _, _, scope, _, name = line.split()
        if scope == "00":  # of global scope
            found.setdefault(name, []).append(str(ipaddress.IPv6Address(int(digits, 16))))
    return found


def interface_of(address: str) -> str | None:
    """The interface that has this address; None for a loopback address and for one of another host."""
    if is_loopback(address):
        return None
    return next((name for name, own in interface_addresses().items() if address in own), None)


def address_of(interface: str) -> str:
    """The first address of this host on that interface; RunError if it has none."""
    known = interface_addresses()
    if known.get(interface):
        return known[interface][0]
    named = ", ".join(sorted(name for name, own in known.items() if own)) or "none"
    raise RunError(
        f"cluster.interface={interface} has no address on {socket.gethostname()}; interfaces with an address: {named}"
    )


def candidates(host: str, suffix: str, interface: str | None) -> list[str]:
    """Where an agent looks for the supervisor on this host, in this order: the address of the named interface alone; else the
    host's name with the suffix, the name itself, and the host's own addresses, for nodes that cannot resolve the name."""
    if interface is not None:
        return [address_of(interface)]
    named = [f"{host}{suffix}", host] if suffix else [host]
    own = [
        address
        for name, addresses in interface_addresses().items()
        if not name.startswith(_INTERNAL)
        for address in addresses
        if not is_loopback(address)
    ]
    return [*named, *own]


def join(addresses: Sequence[str], port: int) -> str:
    """The addresses as one word for an environment variable."""
    return ",".join(f"{address}:{port}" for address in addresses)


def split(word: str) -> list[tuple[str, int]]:
    """The addresses and ports of `join`."""
    pairs = [one.rpartition(":") for one in word.split(",")]
    return [(address, int(port)) for address, _, port in pairs]


def plain(address: str) -> str:
    """A socket's address without its zone, and in IPv4's own form if it is an IPv4 address mapped into IPv6."""
    return address.removeprefix("::ffff:").partition("%")[0]


def is_loopback(address: str) -> bool:
    """Whether an address reaches this host alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def why(error: OSError) -> str:
    """Why a connection failed, for a person: a name that cannot be resolved, or no answer."""
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return "no answer: a firewall, or another network"
    if error.errno == errno.ECONNREFUSED:
        return "refused"
    return error.strerror or str(error)
