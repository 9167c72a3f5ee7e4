"""What the supervisor concludes from the nodes' messages, one poll after the other, without any node."""

import signal
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from launcher.config import ClusterConfig
from launcher.errors import Exit
from launcher.plan.rendezvous import make_rendezvous
from launcher.protocol.codec import Message
from launcher.protocol.to_agent import StartRanks
from launcher.protocol.to_supervisor import NodeFacts, PortOpened, RanksEnded, RankState, StacksDumped
from launcher.run import RunDir
from launcher.run.events.checkpoints import Saved
from launcher.run.events.supervisor import Told
from launcher.supervise.attempt_runner import AttemptRunner
from launcher.supervise.fetching import Fetcher
from launcher.supervise.node_pool import NodePool
from launcher.supervise.nodes import Node
from launcher.supervise.policy import AttemptContext, EndedAttempt, How, StopReason
from launcher.timeouts import AGENT_QUIET_S

PLAN: Any = SimpleNamespace(
    topology=SimpleNamespace(nodes=2, gpus_per_node=1, world_size=2), nodes=2, spares=0, cluster="slurm",
    generation=None, hang_timeout_s=60.0,
    save=SimpleNamespace(timeout_s=600), rendezvous=make_rendezvous(ClusterConfig()),
)  # fmt: skip
STEPPING = RankState("step", 5, 0.1, None, 0.0)
FACTS = NodeFacts(time=0.0, disk=0, memory=0, problems=())
Poll = Callable[[Any], None]


class Scripted:
    """Two nodes that say at each poll what the next of `polls` makes them say."""

    def __init__(self, polls: Sequence[Poll]) -> None:
        self.polls = list(polls)
        self.told: list[str] = []
        self.dead: set[int] = set()
        """Nodes whose loss shows while stacks are written."""
        self.waiting: set[int] = set()
        """Nodes whose rank waits in the kernel for input or output (state D)."""
        connection: Any = None
        self.by_index = {
            index: Node(
                index=index,
                host=f"n{index + 1}",
                connection=connection,
                facts=FACTS,
                heard=time.monotonic(),
                since=0.0,
                checked=True,
            )
            for index in range(2)
        }

    def poll(self, timeout_s: float) -> None:
        if self.polls and all(node.heartbeats for node in self.by_index.values()):
            self.polls.pop(0)(self)

    def spoke(self) -> list[Node]:
        return list(self.by_index.values())

    def there(self) -> list[Node]:
        return [node for node in self.by_index.values() if not node.lost]

    def is_minority(self) -> bool:
        return False

    def tell(self, nodes: Sequence[Node], message: Message) -> None:
        self.told.append(type(message).__name__)
        if isinstance(message, StartRanks):
            for node in nodes:
                node.heartbeats = {message.first_rank: STEPPING}

    def address_of(self, node: Node) -> str:
        return node.host

    def answers(self, node: Node, kind: type[Message]) -> list[Message]:
        if kind is StacksDumped and node.index in self.dead:
            node.lost = "its connection ended (closed)"
            return []
        if kind is StacksDumped:
            state = (
                "T" if node.heartbeats[node.index].stopped_s else "D" if node.index in self.waiting else "S"
            )
            return [StacksDumped(states={node.index: state})]
        if kind is PortOpened:
            return [PortOpened(attempt=1, port=1)]
        return [RanksEnded(host=node.host)] if kind is RanksEnded else []


class Attempt:
    """One attempt over such nodes."""

    def __init__(self, folder: Any, *polls: Poll) -> None:
        self.run = RunDir(folder)
        self.stopped: Any = SimpleNamespace(signal=None, again=False)
        self.nodes: Any = Scripted(polls)
        step: Any = SimpleNamespace(poll=lambda: None)
        self.pool = NodePool(self.run, PLAN, self.stopped, lambda nodes: step)
        self.pool.nodes.close()
        self.pool.nodes, self.pool._step = self.nodes, step
        lease: Any = SimpleNamespace(lost=False, nonce="a")
        self.runner = AttemptRunner(self.pool, Fetcher(self.run, self.nodes, self.stopped, None), lease)

    def end(self) -> EndedAttempt:
        why = {signal.SIGUSR1: (StopReason.TIME_LIMIT, 100.0), signal.SIGTERM: (StopReason.CANCELLED, 20.0)}
        context = AttemptContext(
            number=1, folder="1_1", blamed=(), explain_signal=lambda number: why[signal.Signals(number)]
        )
        return self.runner.attempt(context)


def ends(**codes: int) -> Poll:
    """Ranks end: n1=CODE is rank 0's."""

    def poll(nodes: Scripted) -> None:
        for node in nodes.by_index.values():
            if node.host in codes:
                node.codes = {node.index: codes[node.host]}

    return poll


def test_a_run_that_ends_well_has_finished(tmp_path):
    assert Attempt(tmp_path, ends(n1=0), ends(n2=0)).end() == EndedAttempt(how=How.FINISHED)


@pytest.mark.parametrize("code", [Exit.OUT_OF_MEMORY, Exit.SAVE_FAILED, 128 + signal.SIGKILL])
def test_the_rank_that_failed_first_gives_the_exit_code_though_another_s_is_heard_first(tmp_path, code):
    attempt = Attempt(tmp_path, ends(n2=Exit.FAILED), ends(n1=code))
    if code < 128:
        attempt.run.add_event("crashed", attempt=1, rank=0, host="n1", error="what went wrong")
    ended = attempt.end()
    assert (ended.how, ended.code, ended.hosts) == (How.CRASHED, code, ("n1",))


def test_a_cancel_after_the_warning_of_the_time_limit_is_a_cancel(tmp_path):
    def warned(nodes: Scripted) -> None:
        attempt.stopped.signal = signal.SIGUSR1

    def cancelled(nodes: Scripted) -> None:
        attempt.stopped.signal = signal.SIGTERM

    attempt = Attempt(tmp_path, warned, cancelled, ends(n1=Exit.SHUT_DOWN, n2=Exit.SHUT_DOWN))
    ended = attempt.end()
    assert (ended.how, ended.told) == (How.SHUT_DOWN, StopReason.CANCELLED)
    assert attempt.nodes.told.count("Shutdown") == 1
    assert [event.why for event in attempt.run.read_events(Told)] == [
        "time limit",
        "cancelled",
    ]


@pytest.mark.parametrize(
    ("saves", "said"),
    [
        (True, "cancelled; step 5 is saved, but the ranks did not end in time"),
        (False, "cancelled; the ranks could not save in time"),
    ],
)
def test_ranks_that_do_not_end_in_time_are_killed_and_what_they_saved_is_reported(tmp_path, saves, said):
    def cancelled(nodes: Scripted) -> None:
        attempt.stopped.signal = signal.SIGTERM

    def too_late(nodes: Scripted) -> None:
        if saves:
            attempt.run.note(Saved(attempt=1, step=5))
        attempt.stopped.again = True

    attempt = Attempt(tmp_path, cancelled, too_late)
    attempt.run.note(Saved(attempt=1, step=4))
    ended = attempt.end()
    assert (ended.how, ended.reason) == (How.CUT, said)


def test_a_cancel_while_the_model_is_loaded_requests_no_save_and_says_so(tmp_path):
    def cancelled(nodes: Scripted) -> None:
        nodes.by_index[1].heartbeats = {1: RankState("load", 0, 0.1, None, 0.0)}
        attempt.stopped.signal = signal.SIGTERM

    attempt = Attempt(tmp_path, cancelled)
    ended = attempt.end()
    assert (ended.how, attempt.nodes.told.count("Shutdown")) == (How.CUT, 0)
    assert ended.reason == "cancelled; no save was requested, because not all ranks were training"


def loading(*stopped: tuple[int, float]) -> Poll:
    """Ranks load, each (rank, seconds) of them while it is stopped."""

    def poll(nodes: Scripted) -> None:
        for rank, stopped_s in stopped:
            nodes.by_index[rank].heartbeats = {rank: RankState("load", 0, stopped_s, None, stopped_s)}
            nodes.by_index[rank].heard = time.monotonic()

    return poll


def test_a_rank_that_is_stopped_while_another_runs_is_found_after_a_second(tmp_path):
    ended = Attempt(tmp_path, loading((1, 0.9)), loading((1, 1.1))).end()
    assert (ended.how, ended.hosts) == (How.HUNG, ("n2",))
    assert (
        "rank 1 on n2 was stopped from outside (SIGSTOP) in phase 'load' at step 0 for more than 1 s"
        in ended.reason
    )


def test_a_suspended_job_whose_ranks_are_all_stopped_has_the_time_of_a_hang(tmp_path):
    ended = Attempt(tmp_path, loading((0, 59.0), (1, 59.0)), loading((0, 59.5), (1, 61.0))).end()
    assert (ended.how, ended.hosts) == (How.HUNG, ("n1", "n2"))
    assert "rank 1 on n2 was stopped from outside (SIGSTOP)" in ended.reason
    assert "for more than 60 s" in ended.reason


def test_a_hang_does_not_wait_for_the_stacks_of_a_lost_node(tmp_path):
    def lost(nodes: Scripted) -> None:
        nodes.by_index[0].heartbeats = {0: RankState("load", 0, 61.0, None, 61.0)}
        nodes.dead.add(1)

    begun = time.monotonic()
    ended = Attempt(tmp_path, lost).end()
    assert (ended.how, ended.hosts) == (How.HUNG, ("n1",))
    assert time.monotonic() - begun < 5.0


def test_a_rank_that_waits_for_a_file_system_is_not_said_to_be_behind(tmp_path):
    def hangs(nodes: Scripted) -> None:
        nodes.by_index[1].heartbeats = {1: RankState("step", 4, 1e4, None, 0.0)}
        nodes.waiting.add(1)

    ended = Attempt(tmp_path, hangs, hangs).end()
    assert (ended.how, ended.hosts) == (How.HUNG, ("n2",))
    assert "; n2: rank 1 waiting for a disk or a file system; stacks are in" in ended.reason


def test_a_hang_beside_a_silent_node_is_the_loss_of_that_node(tmp_path):
    def silent(nodes: Scripted) -> None:
        nodes.by_index[0].heartbeats = {0: RankState("step", 5, 61.0, None, 61.0)}
        nodes.by_index[1].heard = time.monotonic() - AGENT_QUIET_S - 0.1

    ended = Attempt(tmp_path, silent).end()
    assert (ended.how, ended.hosts) == (How.LOST, ("n2",))
    assert ended.reason.startswith("n2: it has not answered for 3 s, and no rank advances")


def test_a_node_that_cannot_have_ranks_does_not_count_as_one_that_can(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.nodes.by_index[1].bad = "its disk is full"
    ended = attempt.end()
    assert (ended.how, ended.hosts) == (How.LOST, ("n2",))
    assert len(attempt.pool.good()) == 1


def test_srun_that_fails_by_itself_is_not_a_refusal_of_ours(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.nodes.by_index.clear()
    dead: Any = SimpleNamespace(poll=lambda: 1, returncode=1, stderr=None)
    attempt.nodes.drop = lambda: None
    attempt.pool._start_step = lambda nodes: dead
    attempt.pool._step = None
    ended = attempt.end()
    assert (ended.how, ended.code) == (How.CRASHED, Exit.FAILED)
    assert "the command that starts the nodes ended with exit code 1" in ended.reason
