"""Messages that arrive over the connections of agents, and what the supervisor does with them."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from launcher.config import ClusterConfig
from launcher.plan.rendezvous import make_rendezvous
from launcher.protocol.codec import encode
from launcher.protocol.to_supervisor import Hello, NodeFacts, NodeHeartbeat, PortOpened, RankState
from launcher.supervise.connection import Connection
from launcher.supervise.handshake import introduce
from launcher.supervise.nodes import Nodes

KEY = b"0" * 64
FACTS = NodeFacts(time=0.0, disk=1, memory=1, problems=())


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    nodes = Nodes(make_rendezvous(ClusterConfig()), KEY, 2, alone=True)
    yield nodes
    nodes.drop()
    nodes.close()


HELLO = encode(Hello(host="n1", facts=FACTS)) + b"\n"


def stranger(nodes: Nodes, data: bytes) -> socket.socket:
    agent = socket.create_connection(("127.0.0.1", nodes.port))
    agent.sendall(data)
    return agent


def connect(nodes: Nodes, data: bytes) -> socket.socket:
    """An agent with index 0 that has proved itself, and sends that."""
    agent = socket.create_connection(("127.0.0.1", nodes.port))
    proving = threading.Thread(target=lambda: introduce(Connection(agent), KEY, 0))
    proving.start()
    poll_until(nodes, lambda: not proving.is_alive())
    agent.setblocking(True)
    agent.sendall(data)
    return agent


def poll_until(nodes: Nodes, true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        nodes.poll(0.05)


def is_closed(agent: socket.socket) -> bool:
    agent.settimeout(0.05)
    try:
        while agent.recv(1 << 12):  # the challenge comes first
            continue
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_node_is_known_by_its_hello_and_its_heartbeats(nodes: Nodes):
    state = RankState("load", 0, 0.0, None, 0.0)
    heartbeat = encode(NodeHeartbeat(first_rank=4, ranks=(state, state), codes={5: 1}))
    with connect(nodes, HELLO + heartbeat + b"\n" + encode(PortOpened(attempt=1, port=9))[:10]) as agent:
        poll_until(nodes, lambda: nodes.there())
        node = nodes.by_index[0]
        assert (node.host, node.facts, node.codes, set(node.heartbeats)) == ("n1", FACTS, {5: 1}, {4, 5})
        assert nodes.answers(node, PortOpened) == []
        agent.sendall(encode(PortOpened(attempt=1, port=9))[10:] + b"\n")
        poll_until(nodes, lambda: node.answers)
        assert [answer.port for answer in nodes.answers(node, PortOpened)] == [9]


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"[]\n",
        b'{"kind": "Hello", "token": 3}\n',
        b'{"kind": "PortOpened"}\n',
        b"\xff\n",
    ],
)
def test_a_stranger_that_sends_an_invalid_message_is_closed_and_nothing_else_happens(
    nodes: Nodes, line: bytes
):
    with stranger(nodes, line) as agent:
        poll_until(nodes, lambda: is_closed(agent))
    assert nodes.by_index == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"kind": "Song"}\n', "unknown kind of message 'Song'"),
        (b'{"kind": "PortOpened", "attempt": 1, "port": null}\n', "PortOpened.port is None"),
        (b"not JSON\n", "not a line of JSON"),
    ],
)
def test_a_node_that_sends_nonsense_is_lost_for_that_reason(nodes: Nodes, line: bytes, said: str):
    with connect(nodes, HELLO + line[:3]) as agent:
        poll_until(nodes, lambda: nodes.there())
        agent.sendall(line[3:])
        poll_until(nodes, lambda: not nodes.there())
    lost = nodes.by_index[0].lost
    assert lost.startswith("its agent sent a message that this version does not understand (")
    assert said in lost
