"""A process that reaches the supervisor's port without the run's key: nothing that it sends has an effect."""

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.config import ClusterConfig
from launcher.plan.rendezvous import make_rendezvous
from launcher.protocol.codec import ProtocolError, decode, encode
from launcher.protocol.handshake import FROM_AGENT, FROM_SUPERVISOR, Challenge, Proof, Welcome
from launcher.protocol.ranks import FROM_RANK, FROM_WARM, TO_RANK, TO_WARM
from launcher.protocol.to_agent import TO_AGENT
from launcher.protocol.to_supervisor import TO_SUPERVISOR, Hello, NodeFacts
from launcher.run import RunDir
from launcher.supervise.connection import Connection, ConnectionClosed
from launcher.supervise.handshake import LONGEST, introduce, key_path, prove, read_key, remove_key, write_key
from launcher.supervise.link_check import LinkCheck
from launcher.supervise.nodes import Nodes

KEY = b"0" * 64
HELLO = encode(Hello(host="n1", facts=NodeFacts(time=0.0, disk=1, memory=1, problems=()))) + b"\n"
PAYLOADS = [
    b"1\n",
    b"[]\n",
    b"null\n",
    b'"text"\n',
    b"true\n",
    b"1e999\n",
    b"9" * 400 + b"\n",
    b"[" * 500 + b"\n",
    b'{"a":' * 100 + b"\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
    b"\x00\xff\n",
    HELLO,
    b'{"kind": "Hello", "token": "\\ud800", "index": 0, "host": "n1"}\n',
    b'{"kind": "Proof", "index": 0, "nonce": "\\ud800", "proof": "\\ud800"}\n',
    b'{"kind": "Proof", "index": 0, "nonce": "\xc3\xa4", "proof": "\xc3\xa4"}\n',
    b'{"kind": "Proof", "index": 1' + b"0" * 300 + b', "nonce": "a", "proof": "a"}\n',
    b'{"kind": "Proof", "index": -1, "nonce": "a", "proof": "a"}\n' + HELLO,
    b"x" * (LONGEST + 2),
]


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    nodes = Nodes(make_rendezvous(ClusterConfig()), KEY, 2, alone=True)
    yield nodes
    nodes.drop()
    nodes.close()


def poll_until(nodes: Nodes, true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        nodes.poll(0.02)


def closed(stranger: socket.socket) -> bool:
    stranger.setblocking(False)
    try:
        while stranger.recv(1 << 12):
            continue
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def come(nodes: Nodes) -> socket.socket:
    return socket.create_connection(("127.0.0.1", nodes.port))


def join(nodes: Nodes, key: bytes = KEY, index: int = 0) -> Connection:
    """The agent of that index, once the handshake is over; ConnectionClosed if it fails."""
    connection, failed = Connection(come(nodes)), list[ConnectionClosed]()

    def prove_it() -> None:
        try:
            introduce(connection, key, index)
            connection.socket.sendall(HELLO)
        except ConnectionClosed as error:
            failed.append(error)

    proving = threading.Thread(target=prove_it)
    proving.start()
    poll_until(nodes, lambda: not proving.is_alive())
    if failed:
        connection.close()
        raise failed[0]
    return connection


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: repr(payload[:24]))
def test_what_a_stranger_sends_ends_its_own_connection_and_nothing_else(nodes: Nodes, payload: bytes):
    agent = join(nodes)
    poll_until(nodes, nodes.there)
    with come(nodes) as stranger:
        stranger.sendall(payload)
        poll_until(nodes, lambda: closed(stranger))
    assert [node.index for node in nodes.there()] == [0]
    agent.close()


def test_a_line_without_an_end_costs_no_more_than_a_few_hundred_bytes(nodes: Nodes):
    with come(nodes) as stranger:
        stranger.setblocking(False)
        sent = 0
        while sent < 1 << 22:
            try:
                sent += stranger.send(bytes(1 << 16))
            except BlockingIOError:
                break  # the kernel's buffers alone hold it
            except OSError:
                break
        poll_until(nodes, lambda: closed(stranger))


def test_silent_connections_leave_room_for_an_agent(nodes: Nodes):
    silent = [come(nodes) for _ in range(600)]
    poll_until(nodes, lambda: sum(map(closed, silent)) >= 300)
    agent = join(nodes)
    poll_until(nodes, nodes.there)
    agent.close()
    for one in silent:
        one.close()


def test_without_the_key_nobody_is_an_agent(nodes: Nodes):
    with pytest.raises(ConnectionClosed):
        join(nodes, b"1" * 64)
    assert nodes.by_index == {}


def test_an_agent_of_a_node_that_the_job_does_not_have_is_none(nodes: Nodes):
    with pytest.raises(ConnectionClosed):
        join(nodes, index=2)


def test_a_proof_that_was_heard_proves_nothing_to_another_connection(nodes: Nodes):
    connection = Connection(come(nodes))
    poll_until(
        nodes,
        lambda: (
            connection.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) if _ready(connection) else b""
        ),
    )
    [challenge] = connection.receive(FROM_SUPERVISOR)
    assert isinstance(challenge, Challenge)
    proof = Proof(index=0, nonce="a", proof=prove(KEY, "agent", challenge.nonce, "a", "0"))
    with come(nodes) as stranger:
        stranger.sendall(encode(proof) + b"\n")
        poll_until(nodes, lambda: closed(stranger))
    connection.close()
    assert nodes.by_index == {}


def _ready(connection: Connection) -> bool:
    try:
        return bool(connection.socket.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b'{"kind": "EndAgent"}\n',
        b"1\n",
        encode(Challenge(nonce="n")) + b"\n" + encode(Welcome(proof="0" * 64)) + b"\n",
        encode(Challenge(nonce="n")) + b"\n",
    ],
    ids=["nothing", "an order", "a number", "a welcome at once", "no welcome"],
)
def test_an_agent_obeys_nobody_who_does_not_hold_the_key(said: bytes):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        agent = Connection(socket.create_connection(listener.getsockname()))
        impostor, _ = listener.accept()
        impostor.sendall(said)
        impostor.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionClosed):
            introduce(agent, KEY, 0)
        agent.close()
        impostor.close()


def test_on_one_machine_nobody_else_reaches_the_port(nodes: Nodes):
    assert nodes.environment("any.host") == {"LAUNCHER_SUPERVISOR": f"127.0.0.1:{nodes.port}"}
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert f"0100007F:{nodes.port:04X}" in listening
    assert f"00000000:{nodes.port:04X}" not in listening


def test_the_key_is_a_file_of_this_user_alone_and_goes_with_the_job(tmp_path):
    run = RunDir(tmp_path)
    key = write_key(run)
    assert (read_key(run), key_path(run).stat().st_mode & 0o777) == (key, 0o600)
    later = write_key(run)
    remove_key(run, key)
    assert read_key(run) == later != key
    remove_key(run, later)
    assert list(tmp_path.iterdir()) == []


def test_a_stranger_does_not_make_a_link_count_as_broken(tmp_path):
    hearing, sending = LinkCheck(None, "secret", "127.0.0.1"), LinkCheck()
    port = hearing.listen()
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    strangers[0].sendall(b"nonsense")
    sending.send("127.0.0.1", port, "secret")
    deadline = time.monotonic() + 30
    while sending.result is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sending.result == ""
    for one in strangers:
        one.close()


WIRES = (TO_AGENT, TO_SUPERVISOR, FROM_AGENT, FROM_SUPERVISOR, FROM_RANK, TO_RANK, FROM_WARM, TO_WARM)


def test_any_line_is_a_message_or_a_protocol_error(pytestconfig):
    """Lines that are messages with a value or a byte changed, as a fuzz with a fixed seed."""
    dice = random.Random(23)
    values = [
        None,
        True,
        -1,
        10**400,
        1e308,
        float("nan"),
        "",
        "\ud800",
        "x" * 300,
        [],
        [[]],
        {},
        {"": 1},
        {"x": {}},
        [1, 2, 3, 4, 5],
    ]
    for _ in range(100_000 if pytestconfig.getoption("--long") else 3000):
        accepted = dice.choice(WIRES)
        kind = dice.choice(list(accepted))
        names = list(getattr(accepted[kind], "__dataclass_fields__", {}))
        line = json.dumps({"kind": kind, **{name: dice.choice(values) for name in names}}).encode()
        if dice.random() < 0.3:
            at = dice.randrange(len(line))
            line = line[:at] + os.urandom(1) + line[at + dice.randrange(3) :]
        try:
            decode(line, accepted)
        except ProtocolError:
            continue
