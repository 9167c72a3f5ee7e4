"""The supervisor's side of the nodes: who is there, what their ranks say, and telling them."""

import os
import secrets
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from launcher.supervise.connection import Connection, ConnectionClosed
from launcher.supervise.rendezvous import bind, choose_port

SILENT_S = 10.0
"""Seconds without a word after which a node is given up; a node gives the supervisor up a little later."""
_PING_S = 1.0


@dataclass
class Node:
    """One node that has said hello."""

    index: int
    host: str
    wire: Connection
    facts: dict[str, Any]
    heard: float
    since: float
    """When it said hello, by the clock of this host."""
    heartbeats: dict[int, list[Any]] = field(default_factory=dict[int, list[Any]])
    codes: dict[int, int] = field(default_factory=dict[int, int])
    bad: str = ""
    """Why it can have no ranks, by the pre-flight."""
    waiting: bool = False
    """Its warm process still imports."""
    said: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Answers that nobody has taken yet."""
    lost: str = ""


class Nodes:
    """All nodes of the job."""

    def __init__(self) -> None:
        self.listener = bind(choose_port())
        self.listener.setblocking(False)
        self.token = secrets.token_hex(16)
        self.by_index: dict[int, Node] = {}
        self._strangers: list[Connection] = []
        self._next_ping = 0.0

    def environment(self, address: str) -> dict[str, str]:
        """What a node needs to find this supervisor. The token keeps other users' processes out."""
        return {
            "LAUNCHER_SUPERVISOR": f"{address}:{self.listener.getsockname()[1]}",
            "LAUNCHER_TOKEN": self.token,
        }

    def poll(self, timeout_s: float) -> None:
        """Takes what has come; a node that closed or is silent is lost from then on."""
        living = [node for node in self.by_index.values() if not node.lost]
        waiting = [self.listener, *self._strangers, *(node.wire for node in living)]
        select.select(waiting, [], [], timeout_s)
        self._accept()
        moment = time.monotonic()
        ping = moment > self._next_ping
        if ping:
            self._next_ping = moment + _PING_S
        for node in living:
            try:
                for message in node.wire.receive():
                    self._take(node, message)
                if ping:
                    node.wire.send(kind="ping")
                node.wire.flush()
            except ConnectionClosed as error:
                node.lost = f"its connection ended ({error})"
            if moment - node.heard > SILENT_S:
                node.lost = f"it has not answered for {SILENT_S:g} s"

    def tell(self, nodes: Iterable[Node], **message: Any) -> None:
        """Sends a message to each that is there."""
        for node in nodes:
            if not node.lost:
                try:
                    node.wire.send(**message)
                except ConnectionClosed as error:
                    node.lost = f"its connection ended ({error})"

    def there(self) -> list[Node]:
        """Nodes that answer, by index."""
        return [node for _, node in sorted(self.by_index.items()) if not node.lost]

    def answers(self, node: Node, kind: str) -> list[dict[str, Any]]:
        """Takes a node's answers of that kind."""
        found = [message for message in node.said if message["kind"] == kind]
        node.said = [message for message in node.said if message["kind"] != kind]
        return found

    def drop(self) -> None:
        """Forgets all nodes, before a new step is started."""
        for node in self.by_index.values():
            node.wire.close()
        self.by_index = {}

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                break
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._strangers.append(Connection(connection))
        for wire in list(self._strangers):
            try:
                messages = wire.receive()
            except (ConnectionClosed, ValueError):
                self._strangers.remove(wire)
                wire.close()
                continue
            if not messages:
                continue
            self._strangers.remove(wire)
            hello = messages[0]
            if hello.get("kind") != "hello" or not secrets.compare_digest(
                str(hello.get("token")), self.token
            ):
                wire.close()
                continue
            node = Node(
                int(hello["index"]), str(hello["host"]), wire, hello["facts"], time.monotonic(), time.time()
            )
            self.by_index[node.index] = node
            for message in messages[1:]:
                self._take(node, message)

    def _take(self, node: Node, message: dict[str, Any]) -> None:
        node.heard = time.monotonic()
        if message["kind"] == "beat":
            node.heartbeats = {int(rank): beat for rank, beat in message["ranks"].items()}
            node.codes = {int(rank): code for rank, code in message["codes"].items()}
            node.waiting = bool(message.get("waiting"))
        else:
            node.said.append(message)


def own_address(cluster: str) -> str:
    """The name under which the nodes reach this process."""
    if cluster == "local":
        return "127.0.0.1"
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
