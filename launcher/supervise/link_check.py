"""Whether every node of the job reaches the next one: each sends a message on, before any rank waits in a collective.

A link that drops packets, or a firewall between two nodes, is otherwise a hang in the first all-reduce, without a name.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Mapping, Sequence

from launcher.supervise.rendezvous import bind, choose_port

MESSAGE = 1 << 20
"""Bytes; more than a socket takes at once, so that large packets must pass too."""
WAIT_S = 4.0


class LinkCheck:
    """This node's place in the ring: hears the one before it, sends to the one behind it."""

    def __init__(self) -> None:
        self.result: str | None = None
        """Once it has been sent: "" where the next node had all of it, else what went wrong."""

    def listen(self) -> int:
        """The port at which the message of the node before this one is heard, and acknowledged."""
        listener = bind(choose_port())
        threading.Thread(target=_hear, args=(listener,), daemon=True).start()
        return listener.getsockname()[1]

    def send(self, address: str, port: int) -> None:
        """Begins to send; `result` says when it is over."""
        threading.Thread(target=self._send, args=(address, port), daemon=True).start()

    def _send(self, address: str, port: int) -> None:
        try:
            with socket.create_connection((address, port), timeout=WAIT_S) as connection:
                connection.sendall(bytes(MESSAGE))
                connection.shutdown(socket.SHUT_WR)
                self.result = "" if connection.recv(1) else "it closed the connection"
        except OSError as error:
            self.result = str(error) or type(error).__name__


def _hear(listener: socket.socket) -> None:
    with contextlib.suppress(OSError), listener:
        listener.settimeout(2 * WAIT_S)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(WAIT_S)
            left, deadline = MESSAGE, time.monotonic() + WAIT_S
            while left and time.monotonic() < deadline and (piece := connection.recv(1 << 16)):
                left -= len(piece)
            if not left:
                connection.sendall(b"\n")


def blame_hosts(ring: Sequence[str], failed: Mapping[str, str]) -> dict[str, str]:
    """Host -> why it is bad; `ring` is the order of the hosts, `failed` says why a host did not reach the next one.

    A host that neither reaches nor is reached is bad. Of a single bad link, nobody can tell which end is: it is the later
    host, for the first one leads.
    """
    following = dict(zip(ring, [*ring[1:], *ring[:1]], strict=True))
    before = {behind: host for host, behind in following.items()}
    dead = {host for host in ring[1:] if host in failed and before[host] in failed}
    found = {
        host: f"it does not reach {following[host]} ({failed[host]}), nor {before[host]} it" for host in dead
    }
    for host, said in failed.items():
        behind = following[host]
        if not {host, behind} & found.keys():
            later = max(host, behind, key=ring.index)
            found[later] = f"{host} does not reach {behind} ({said})"
    return found
