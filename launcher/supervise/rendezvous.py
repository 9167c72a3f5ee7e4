"""The port at which the ranks meet."""

import random
import socket
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 10_000


def choose_port() -> int:
    """A port that is free on this host and outside of the ephemeral range, from which the kernel gives ports to others."""
    low = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32_768
    last = max(low, _FIRST + 1_000)
    generator = random.SystemRandom()
    while True:
        port = generator.randrange(_FIRST, last)
        try:
            bind(port).close()
        except OSError:
            continue
        return port


def bind(port: int) -> socket.socket:
    """A listening socket on every address of this host; OSError when the port is taken."""
    listener = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("", port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener
