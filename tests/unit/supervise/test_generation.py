"""What the supervisor does about a generation server, by what the server's node says, without any node."""

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launcher.errors import Exit
from launcher.plan.generation import Generation
from launcher.protocol.codec import Message
from launcher.protocol.to_agent import EndServer, ServerAt, StartServer
from launcher.protocol.to_supervisor import NodeFacts, ServerState
from launcher.run import RunDir
from launcher.run.events.supervisor import ServerLost, ServerReady
from launcher.supervise.generation import GenerationServer
from launcher.supervise.nodes import Node
from launcher.supervise.policy import AttemptContext, How, StopReason

GENERATION = Generation(
    mode="server", nodes=1, gpus=2, tensor_parallel_size=2, gpu_memory_utilization=0.9, env={"A": "1"}, restarts=1,
    command=("serve", "{port}", "--revision", "{revision}"), start_timeout_s=9.0, weights_gib=None, answer_gib=None,
)  # fmt: skip
CONTEXT: Any = AttemptContext(
    number=4, folder="7_4", blamed=(), explain_signal=lambda number: (StopReason.NOTHING, 0.0)
)


class Nodes:
    """Nodes n1 to n4: n1 trains, n2 generates, the others are spares."""

    def __init__(self) -> None:
        facts = NodeFacts(time=0.0, disk=0, memory=0, problems=())
        none: Any = None
        self.all = [
            Node(index=index, host=f"n{index + 1}", connection=none, facts=facts, heard=0.0, since=0.0)
            for index in range(4)
        ]
        self.told: list[tuple[str, Message]] = []

    def tell(self, nodes: Sequence[Node], message: Message) -> None:
        self.told += [(node.host, message) for node in nodes]

    def answers(self, node: Node, kind: type[Message]) -> list[Message]:
        found, node.answers = node.answers, []
        return found

    def address_of(self, node: Node) -> str:
        return f"10.0.0.{node.index + 1}"

    def started(self) -> list[tuple[str, StartServer]]:
        return [(host, message) for host, message in self.told if isinstance(message, StartServer)]


@pytest.fixture
def begun(tmp_path: Path) -> Any:
    """The nodes, and a server that was ordered to start."""
    nodes: Any = Nodes()
    plan = SimpleNamespace(topology=SimpleNamespace(gpus_per_node=8))
    pool: Any = SimpleNamespace(
        run=RunDir(tmp_path), plan=plan, nodes=nodes, one_machine=False,
        good=lambda: [node for node in nodes.all if not node.lost and not node.bad],
    )  # fmt: skip
    server = GenerationServer(pool, GENERATION)
    server.begin(nodes.all[1], nodes.all[:1], "abc", CONTEXT)
    return nodes, server, pool.run


def says(nodes: Nodes, index: int, **state: Any) -> None:
    nodes.all[index].answers.append(ServerState(**{"serial": 1, "url": "", "code": 0, "reason": "", **state}))


def test_ranks_hear_where_the_server_is_once_it_answers(begun):
    nodes, server, run = begun
    assert server.look(CONTEXT) is None and server.ready_since is None
    says(nodes, 1, url="http://10.0.0.2:5")
    assert server.look(CONTEXT) is None
    assert nodes.told[-1] == ("n1", ServerAt(serial=1, url="http://10.0.0.2:5"))
    assert 0 < (server.ready_since or 0) <= time.monotonic()
    assert [event.host for event in run.read_events(ServerReady)] == ["n2"]
    order = nodes.started()[0][1]
    assert order.words == ("serve", "{port}", "--revision", "abc")
    assert (order.address, order.first_gpu, order.gpus, order.folder) == ("10.0.0.2", 0, 2, "7_4")


def test_a_server_that_ends_is_started_again_on_its_node_and_the_ranks_wait(begun):
    nodes, server, run = begun
    says(nodes, 1, url="http://10.0.0.2:5")
    server.look(CONTEXT)
    says(nodes, 1, code=137, reason="it was ended by signal 9")
    assert server.look(CONTEXT) is None
    assert server.ready_since is None
    assert [(host, order.serial) for host, order in nodes.started()] == [("n2", 1), ("n2", 2)]
    assert [(event.reason, event.next) for event in run.read_events(ServerLost)] == [
        ("it was ended by signal 9", "n2")
    ]
    says(nodes, 1, serial=1, code=1, reason="an answer about the one before")
    assert server.look(CONTEXT) is None and len(nodes.started()) == 2


@pytest.mark.parametrize(("answered", "code"), [(True, Exit.FAILED), (False, Exit.START_FAILED)])
def test_a_server_that_ends_too_often_ends_the_attempt_for_good_if_it_has_never_answered(
    begun, answered, code
):
    nodes, server, run = begun
    if answered:
        says(nodes, 1, url="http://10.0.0.2:5")
    says(nodes, 1, code=1, reason="it ended with exit code 1")
    assert server.look(CONTEXT) is None
    says(nodes, 1, serial=2, code=1, reason="it ended with exit code 1")
    ended = server.look(CONTEXT)
    assert ended and (ended.how, ended.code, ended.hosts) == (How.CRASHED, code, ("n2",))
    assert "it was started 2 times, see logs/7_4/n2.server.log" in ended.reason
    assert run.read_events(ServerLost)[-1].next == ""


def test_a_server_whose_node_is_lost_goes_to_a_spare(begun):
    nodes, server, _ = begun
    nodes.all[1].lost = "its connection ended"
    nodes.all[2].bad = "its disk is full"
    assert server.look(CONTEXT) is None
    assert [host for host, _ in nodes.started()] == ["n2", "n4"]


def test_without_a_spare_the_loss_of_its_node_ends_the_attempt(begun):
    nodes, server, _ = begun
    for node in nodes.all[1:]:
        node.lost = "its connection ended"
    ended = server.look(CONTEXT)
    assert ended and (ended.how, ended.hosts) == (How.LOST, ("n2",))


def test_the_server_ends_with_the_ranks_and_starts_with_the_next_ones(begun):
    nodes, server, _ = begun
    server.end()
    assert nodes.told[-1] == ("n2", EndServer())
    server.begin(nodes.all[1], nodes.all[:1], "abc", CONTEXT)
    assert nodes.started()[-1][1].serial == 2
