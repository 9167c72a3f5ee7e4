"""A free port of this host, and a socket that listens at it."""

import random
import socket
from pathlib import Path

from launcher.errors import RunError

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 10_000


def choose_port(allowed: tuple[int, int] | None = None) -> int:
    """A port that is free on this host and outside of the ephemeral range, from which the kernel gives ports to others; one of
    the `allowed` ports, first and last, where these are given. RunError if none of them is free."""
    if allowed is not None:
        return _choose_of(*allowed)
    low = int(_EPHEMERAL.read_text(encoding="utf-8").split()[0]) if _EPHEMERAL.exists() else 32_768
    last = max(low, _FIRST + 1_000)
    generator = random.SystemRandom()
    while True:
        port = generator.randrange(_FIRST, last)
        try:
            bind(port).close()
        except OSError:
            continue
        return port


def _choose_of(first: int, last: int) -> int:
    numbers = list(range(first, last + 1))
    random.SystemRandom().shuffle(numbers)
    for port in numbers:
        try:
            bind(port).close()
        except OSError:
            continue
        return port
    raise RunError(
        f"cluster.ports={first}-{last}: none of these ports is free on {socket.gethostname()}; allow more ports"
    )


def bind(port: int, address: str = "") -> socket.socket:
    """A listening socket on an address, or on every address of this host; OSError when the port is taken."""
    if address:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return _listen(socket.socket(family), address, port)
    listener = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return _listen(listener, "", port)


def _listen(listener: socket.socket, address: str, port: int) -> socket.socket:
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener
