"""The supervisor's side of the nodes: who is there, what their ranks say, and telling them."""

import secrets
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from launcher.supervise.rendezvous import bind, choose_port
from launcher.supervise.wire import Closed, Wire

SILENT_S = 10.0
"""Seconds without a word after which a node is given up; a node gives the supervisor up a little later."""
_PING_S = 1.0


@dataclass
class Peer:
    """One node that has said hello."""

    index: int
    host: str
    wire: Wire
    facts: dict[str, Any]
    heard: float
    since: float
    """When it said hello, by the clock of this host."""
    beats: dict[int, list[Any]] = field(default_factory=dict[int, list[Any]])
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
        self.peers: dict[int, Peer] = {}
        self._strangers: list[Wire] = []
        self._next_ping = 0.0

    def environment(self, address: str) -> dict[str, str]:
        """What a node needs to find this supervisor. The token keeps other users' processes out."""
        return {
            "LAUNCHER_SUPERVISOR": f"{address}:{self.listener.getsockname()[1]}",
            "LAUNCHER_TOKEN": self.token,
        }

    def poll(self, timeout_s: float) -> None:
        """Takes what has come; a node that closed or is silent is lost from then on."""
        living = [peer for peer in self.peers.values() if not peer.lost]
        waiting = [self.listener, *self._strangers, *(peer.wire for peer in living)]
        select.select(waiting, [], [], timeout_s)
        self._accept()
        moment = time.monotonic()
        ping = moment > self._next_ping
        if ping:
            self._next_ping = moment + _PING_S
        for peer in living:
            try:
                for message in peer.wire.receive():
                    self._take(peer, message)
                if ping:
                    peer.wire.send(kind="ping")
                peer.wire.flush()
            except Closed as error:
                peer.lost = f"its connection ended ({error})"
            if moment - peer.heard > SILENT_S:
                peer.lost = f"it has not answered for {SILENT_S:g} s"

    def tell(self, peers: Iterable[Peer], **message: Any) -> None:
        """Sends a message to each that is there."""
        for peer in peers:
            if not peer.lost:
                try:
                    peer.wire.send(**message)
                except Closed as error:
                    peer.lost = f"its connection ended ({error})"

    def there(self) -> list[Peer]:
        """Nodes that answer, by index."""
        return [peer for _, peer in sorted(self.peers.items()) if not peer.lost]

    def answers(self, peer: Peer, kind: str) -> list[dict[str, Any]]:
        """Takes a node's answers of that kind."""
        found = [message for message in peer.said if message["kind"] == kind]
        peer.said = [message for message in peer.said if message["kind"] != kind]
        return found

    def drop(self) -> None:
        """Forgets all nodes, before a new step is started."""
        for peer in self.peers.values():
            peer.wire.close()
        self.peers = {}

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                break
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._strangers.append(Wire(connection))
        for wire in list(self._strangers):
            try:
                messages = wire.receive()
            except (Closed, ValueError):
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
            peer = Peer(
                int(hello["index"]), str(hello["host"]), wire, hello["facts"], time.monotonic(), time.time()
            )
            self.peers[peer.index] = peer
            for message in messages[1:]:
                self._take(peer, message)

    def _take(self, peer: Peer, message: dict[str, Any]) -> None:
        peer.heard = time.monotonic()
        if message["kind"] == "beat":
            peer.beats = {int(rank): beat for rank, beat in message["ranks"].items()}
            peer.codes = {int(rank): code for rank, code in message["codes"].items()}
            peer.waiting = bool(message.get("waiting"))
        else:
            peer.said.append(message)
