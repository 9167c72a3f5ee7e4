"""Messages and their lines."""

import inspect
import json
from typing import Any

import pytest

from launcher.protocol import ranks, to_agent, to_supervisor
from launcher.protocol.codec import LONGEST_LINE, Message, ProtocolError, decode, encode
from launcher.protocol.ranks import FROM_RANK, FROM_WARM, TO_RANK, TO_WARM, ForkRank, RankHeartbeat
from launcher.protocol.to_agent import TO_AGENT, Ping, StartRanks
from launcher.protocol.to_supervisor import (
    TO_SUPERVISOR,
    FetchEnded,
    Hello,
    NodeFacts,
    NodeHeartbeat,
    ProbeResult,
    RankState,
)

ALL = {**TO_AGENT, **TO_SUPERVISOR, **FROM_RANK, **TO_RANK, **FROM_WARM, **TO_WARM}
STEPPING = RankState("step", 7, 0.25, ProbeResult(3, 0.002, 0.0), 0.0)
EXAMPLES = [
    Ping(),
    Hello(host="n3", facts=NodeFacts(time=1.5, disk=1, memory=2, problems=("its disk is full",))),
    NodeHeartbeat(first_rank=8, ranks=(STEPPING, STEPPING._replace(probe=None)), codes={8: 0, 9: 137}, waiting=True),
    StartRanks(attempt=1, first_rank=0, address="n1", own_address="n2", port=2, lease="a", model_commit=None),
    FetchEnded(code=14, error="no such model: \u00e4", commit=None, bytes=0),
    RankHeartbeat(phase="step", step=1, probe=ProbeResult(1, 0.5, 0.25)),
    ForkRank(environment={"A": "line\nbreak"}, descriptors=("LAUNCHER_HEARTBEAT_FD",)),
]  # fmt: skip


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line_and_comes_back_as_it_was(message: Message):
    line = encode(message)
    assert b"\n" not in line
    assert decode(line, ALL) == message
    assert decode(line, ALL) == message  # also by the types that were seen before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\x00\xff", "not a line of JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "unknown kind of message None"),
        (b'{"kind": ["Ping"]}', "unknown kind of message \\['Ping'\\]"),
        (b'{"kind": "Pong"}', "unknown kind of message 'Pong'; known: Hello, "),
        (b'{"kind": "Ping"}', "unknown kind of message 'Ping'"),  # the supervisor sends it and accepts none
        (b'{"kind": "PortOpened", "attempt": 1}', "PortOpened has no port"),
        (b'{"kind": "PortOpened", "attempt": 1, "port": "x"}', "PortOpened.port is 'x'"),
        (b'{"kind": "PortOpened", "attempt": true, "port": 1}', "PortOpened.attempt is True"),
        (b'{"kind": "StacksDumped", "states": {"x": "T"}}', "StacksDumped.states is {'x': 'T'}"),
        (b'{"kind": "NodeHeartbeat", "first_rank": 0, "codes": {}, "ranks": [["step", 1]]}', "NodeHeartbeat.ranks is"),
        (b'{"kind": "NodeHeartbeat", "first_rank": 0, "codes": {}, "ranks": [["step", 1, 0.1, [1], 0]]}', "NodeHeartbeat.ran"),
        (b'{"kind": "Hello", "token": "", "index": 0, "host": "", "facts": {"time": 1.0}}', "NodeFacts has no disk"),
    ],
)  # fmt: skip
def test_a_line_that_is_not_a_message_is_one_clear_error(line: bytes, said: str):
    with pytest.raises(ProtocolError, match=said):
        decode(line, TO_SUPERVISOR)


def test_a_field_of_a_later_version_is_ignored():
    assert decode(b'{"kind": "Ping", "load": 3}', TO_AGENT) == Ping()


def test_a_whole_number_where_a_fraction_is_meant_is_taken():
    line = json.dumps(
        {"kind": "NodeHeartbeat", "first_rank": 0, "codes": {}, "ranks": [["step", 1, 2, None, 0]]}
    )
    for _ in range(2):
        found: Any = decode(line.encode(), TO_SUPERVISOR)
        assert [type(value) for value in found.ranks[0]] == [str, int, float, type(None), float]


def test_a_heartbeat_of_eight_ranks_is_short():
    message = NodeHeartbeat(first_rank=32_760, ranks=(STEPPING,) * 8, codes={})
    assert len(encode(message)) < 512 < LONGEST_LINE


def test_every_message_is_accepted_by_some_side():
    declared = {
        name
        for module in (to_agent, to_supervisor, ranks)
        for name, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Message) and one is not Message
    }
    assert declared == set(ALL)
