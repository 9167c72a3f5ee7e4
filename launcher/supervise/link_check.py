"""A check that every node of the job reaches the next one, before any rank waits in a collective.

Without it, a link that drops packets or a firewall between two nodes would hang the first all-reduce, and nobody could
tell which host is to blame.
"""

import contextlib
import hmac
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from launcher.ports import bind, choose_port
from launcher.timeouts import LINK_S

MESSAGE = 1 << 20
"""Bytes. More than a socket takes at once, so that large packets have to pass too."""
_MOST_CONNECTIONS = 32
"""Connections that are accepted; all but one are from strangers."""


class LinkCheck:
    """One node's part: it receives from the previous node and sends to the next one."""

    def __init__(self, ports: tuple[int, int] | None = None, secret: str = "", address: str = "") -> None:
        """`secret`: what the previous node's message begins with; `address`: the one at which to listen, empty for all."""
        self.ports, self.secret, self.address = ports, secret, address
        self.result: str | None = None
        """None until the message is sent; then empty if the next node has received all of it, else what went wrong."""

    def listen(self) -> int:
        """The port at which the message of the previous node is received and acknowledged."""
        listener = bind(choose_port(self.ports), self.address)
        threading.Thread(target=_hear, args=(listener, self.secret.encode()), daemon=True).start()
        return listener.getsockname()[1]

    def send(self, address: str, port: int, secret: str = "") -> None:
        """Starts to send; `result` is set once it is over."""
        threading.Thread(target=self._send, args=(address, port, secret), daemon=True).start()

    def _send(self, address: str, port: int, secret: str) -> None:
        try:
            with socket.create_connection((address, port), timeout=LINK_S) as connection:
                connection.sendall(secret.encode() + bytes(MESSAGE))
                connection.shutdown(socket.SHUT_WR)
                self.result = "" if connection.recv(1) else "the node closed the connection"
        except OSError as error:
            self.result = str(error) or type(error).__name__


def _hear(listener: socket.socket, secret: bytes) -> None:
    """Accepts connections until one has sent the whole message, or the time is over. Each is read in a thread of its own, so
    that a stranger's connection does not delay the node's."""
    deadline = time.monotonic() + 2 * LINK_S
    over = threading.Event()
    with contextlib.suppress(OSError), listener:
        for _ in range(_MOST_CONNECTIONS):
            listener.settimeout(max(0.01, deadline - time.monotonic()))
            connection, _ = listener.accept()
            threading.Thread(target=_take, args=(connection, secret, over), daemon=True).start()
            if over.wait(0.05):
                return


def _take(connection: socket.socket, secret: bytes, over: threading.Event) -> None:
    with contextlib.suppress(OSError), connection:
        connection.settimeout(LINK_S)
        begin, deadline = b"", time.monotonic() + LINK_S
        while len(begin) < len(secret) and (piece := connection.recv(len(secret) - len(begin))):
            begin += piece
        if not hmac.compare_digest(begin, secret):
            return
        left = MESSAGE
        while left and time.monotonic() < deadline and (piece := connection.recv(1 << 16)):
            left -= len(piece)
        if not left:
            connection.sendall(b"\n")
            over.set()


def name_nodes(hosts: Mapping[int, str]) -> dict[int, str]:
    """Index of a node -> its host, with the index where several nodes say the same name."""
    counts = Counter(hosts.values())
    return {index: host if counts[host] == 1 else f"{host} (node {index})" for index, host in hosts.items()}


def blame_hosts(ring: Sequence[str], failed: Mapping[str, str]) -> dict[str, str]:
    """Host -> why it is bad. `ring` is the order of the hosts; `failed` says of a host why it did not reach the next one.

    A host that does not reach the next one, and that the previous one does not reach, is bad. Of a single bad link, nobody can
    tell which end is bad: the later host is taken, because the first one is needed to lead.
    """
    following = dict(zip(ring, [*ring[1:], *ring[:1]], strict=True))
    before = {behind: host for host, behind in following.items()}
    dead = {host for host in ring[1:] if host in failed and before[host] in failed}
    found = {
        host: f"it does not reach {following[host]} ({failed[host]}), and {before[host]} does not reach it"
        for host in dead
    }
    for host, reason in failed.items():
        behind = following[host]
        if not {host, behind} & found.keys():
            later = max(host, behind, key=ring.index)
            found[later] = f"{host} does not reach {behind} ({reason})"
    return found
