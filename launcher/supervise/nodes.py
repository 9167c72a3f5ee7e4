"""The supervisor's side of the agents: which nodes are there, what they report, and what is sent to them."""

import select
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from launcher import environment
from launcher.plan.rendezvous import Rendezvous
from launcher.ports import bind, choose_port
from launcher.protocol.codec import Message, ProtocolError, encode
from launcher.protocol.to_agent import Ping
from launcher.protocol.to_supervisor import TO_SUPERVISOR, Hello, NodeFacts, NodeHeartbeat, RankState
from launcher.supervise.addresses import address_of, candidates, is_loopback, join
from launcher.supervise.connection import Connection, ConnectionClosed
from launcher.supervise.handshake import Door
from launcher.supervise.preflight import raise_open_files
from launcher.supervise.succession import has_quorum
from launcher.timeouts import AGENT_LOST_S, PING_S

Answer = TypeVar("Answer", bound=Message)
_OPEN_FILES, _FILES_PER_NODE = 1024, 4
"""File descriptors of a supervisor: its own and those of strangers, and those of each node."""
_POLL_GAP_S = 5e-6
"""Seconds between two polls, for each node: 20 ms with 4,096 nodes."""
_MOST_EVENTS = 8192
"""Connections that one poll looks at; the next one looks at the others."""


@dataclass(kw_only=True)
class Node:
    """A node whose agent has said hello."""

    index: int
    """Number of the node in the job step."""
    host: str
    connection: Connection
    facts: NodeFacts
    heard: float
    """time.monotonic() of the newest message."""
    since: float
    """When it said hello, by the clock of the supervisor's host (time.time())."""
    checked: bool = False
    """Whether the pre-flight check has judged it."""
    heartbeats: dict[int, RankState] = field(default_factory=dict[int, RankState])
    """Rank -> its state, by the newest heartbeat."""
    codes: dict[int, int] = field(default_factory=dict[int, int])
    """Rank -> its exit code, of the ranks that have ended."""
    bad: str = ""
    """Why the pre-flight check lets it have no ranks; empty for a healthy node."""
    waiting: bool = False
    """Whether its warm process still imports the training stack."""
    answers: list[Message] = field(default_factory=list[Message])
    """Messages other than heartbeats that are not yet handled."""
    unseen: bool = False
    """Whether it has said something since `Nodes.spoke` was last asked."""
    lost: str = ""
    """Why it is given up; empty while it answers."""
    silent: bool = False
    """Whether it was given up only because nothing came from it; it may still be alive."""


class Nodes:
    """All nodes of the job. The cost of a poll grows with the nodes that have said something, and not with all of them."""

    def __init__(self, rendezvous: Rendezvous, key: bytes, most: int, *, alone: bool) -> None:
        """`most`: how many agents there can be. `alone`: whether all are on this machine; then no other host can reach it."""
        self.rendezvous, self._alone = rendezvous, alone
        own = "127.0.0.1" if alone else address_of(rendezvous.interface) if rendezvous.interface else ""
        raise_open_files(_OPEN_FILES + _FILES_PER_NODE * most)
        listener = bind(choose_port(rendezvous.ports), own)
        listener.setblocking(False)
        self.port: int = listener.getsockname()[1]
        self.by_index: dict[int, Node] = {}
        self._waits = select.epoll()
        """Every open connection, from its first moment on; select(2) would fail from descriptor 1,024 on."""
        self._door = Door(listener, key, most, self._waits)
        self._proved: dict[int, Connection] = {}
        """Connections of agents that have proved themselves, and not said hello yet, by index."""
        self._connected: dict[int, Node] = {}
        """The nodes by the file descriptor of their connection."""
        self._spoke: list[Node] = []
        self._unsent: dict[int, Node] = {}
        """The nodes with messages that the socket has not taken yet, by index."""
        self._next_ping = self._next_poll = 0.0

    def environment(self, host: str) -> dict[str, str]:
        """The variables with which an agent finds this supervisor, which runs on `host`."""
        known = (
            ["127.0.0.1"]
            if self._alone
            else candidates(host, self.rendezvous.host_suffix, self.rendezvous.interface)
        )
        return {environment.SUPERVISOR: join(known, self.port)}

    def address_of(self, node: Node) -> str:
        """The address at which the other nodes reach this one: where its agent was seen from here. The agent of this host can
        come by a loopback address; then it is the one at which the other agents reach this host."""
        peer, _ = node.connection.ends()
        if not is_loopback(peer):
            return peer
        others = (other.connection.ends()[1] for other in self.there() if other is not node)
        return next((own for own in others if not is_loopback(own)), peer)

    def poll(self, timeout_s: float) -> None:
        """Takes what has arrived. A node that closes its connection, is silent or sends an invalid message is lost.

        With thousands of nodes something arrives at every moment. Then two polls are a few milliseconds apart, so that one
        poll takes many messages.
        """
        time.sleep(max(0.0, self._next_poll - time.monotonic()))
        strangers = False
        for descriptor, _ in self._waits.poll(timeout_s, _MOST_EVENTS):
            node = self._connected.get(descriptor)
            if node is None:
                strangers = True
            else:
                self._hear(node)
        moment = time.monotonic()
        self._next_poll = moment + _POLL_GAP_S * len(self.by_index)
        if moment > self._next_ping:
            self._next_ping = moment + PING_S
            self.tell(self.by_index.values(), Ping())
            for node in self.by_index.values():
                if moment - node.heard > AGENT_LOST_S and not node.lost:
                    node.silent, node.lost = True, f"it has not answered for {AGENT_LOST_S:g} s"
            strangers = True  # a stranger that says nothing causes no event, and is closed after its time
        if strangers:
            self._greet()
        for index in [index for index, node in self._unsent.items() if node.lost or self._sends(node, b"")]:
            del self._unsent[index]

    def tell(self, nodes: Iterable[Node], message: Message) -> None:
        """Sends a message to each of these nodes that is there."""
        line = encode(message) + b"\n"
        for node in nodes:
            if not node.lost and not self._sends(node, line):
                self._unsent[node.index] = node

    def spoke(self) -> list[Node]:
        """The nodes that have said something since this was last asked, lost ones too."""
        found, self._spoke = self._spoke, []
        for node in found:
            node.unseen = False
        return found

    def there(self) -> list[Node]:
        """The nodes that answer, by index."""
        return [node for _, node in sorted(self.by_index.items()) if not node.lost]

    def answers(self, node: Node, kind: type[Answer]) -> list[Answer]:
        """Takes the answers of this kind from a node, the oldest first."""
        found = [answer for answer in node.answers if isinstance(answer, kind)]
        node.answers = [answer for answer in node.answers if not isinstance(answer, kind)]
        return found

    def is_minority(self) -> bool:
        """Whether fewer than half of the nodes answer that can still have an agent: it may be this host that is cut off, and
        the others choose another supervisor. An agent whose connection ended is gone."""
        nodes = self.by_index.values()
        living, silent = sum(not node.lost for node in nodes), sum(node.silent for node in nodes)
        return silent > 0 and not has_quorum(living, living + silent)

    def drop(self) -> None:
        """Forgets all nodes, before a new job step is started."""
        for node in self.by_index.values():
            node.connection.close()
        for connection in self._proved.values():
            connection.close()
        self.by_index, self._proved, self._connected, self._unsent, self._spoke = {}, {}, {}, {}, []

    def close(self) -> None:
        """Stops listening, and ends the connections of agents that have gone, or have proved nothing."""
        self._door.close()
        self._waits.close()

    def _greet(self) -> None:
        """Takes the agents that have proved themselves, each once it has said hello, after the check of its node."""
        for index, connection in self._door.admit():
            if index in self._proved:
                self._proved[index].close()
            self._proved[index] = connection
        for index, connection in list(self._proved.items()):
            try:
                messages = connection.receive(TO_SUPERVISOR)
            except (ConnectionClosed, ProtocolError):
                messages, hello = [], None
            else:
                if not messages:
                    continue
                hello = messages[0]
            del self._proved[index]
            if isinstance(hello, Hello):
                self._add(index, hello, connection, messages[1:])
            else:
                connection.close()

    def _add(self, index: int, hello: Hello, connection: Connection, others: list[Message]) -> None:
        node = Node(
            index=index, host=hello.host, connection=connection, facts=hello.facts,
            heard=time.monotonic(), since=time.time(),
        )  # fmt: skip
        if index in self.by_index:
            before = self.by_index[index].connection
            self._connected.pop(before.fileno(), None)
            before.close()
        self.by_index[index] = self._connected[connection.fileno()] = node
        for message in others:
            self._take(node, message)

    def _hear(self, node: Node) -> None:
        """Takes what a node has sent."""
        if node.lost:
            self._waits.unregister(node.connection)
            del self._connected[node.connection.fileno()]
            return
        try:
            for message in node.connection.receive(TO_SUPERVISOR):
                self._take(node, message)
        except ConnectionClosed as error:
            node.lost = f"its connection ended ({error})"
        except ProtocolError as error:
            node.lost = f"its agent sent a message that this version does not understand ({error})"

    def _sends(self, node: Node, line: bytes) -> bool:
        """Whether nothing is left to send to a node, after it was sent a line and what was left before."""
        try:
            return node.connection.send_line(line)
        except ConnectionClosed as error:
            node.lost = f"its connection ended ({error})"
            return True

    def _take(self, node: Node, message: Message) -> None:
        node.heard = time.monotonic()
        if not node.unseen:
            node.unseen = True
            self._spoke.append(node)
        if isinstance(message, NodeHeartbeat):
            node.heartbeats = dict(enumerate(message.ranks, start=message.first_rank))
            node.codes, node.waiting = message.codes, message.waiting
        else:
            node.answers.append(message)
