"""What the supervisor makes of what the nodes say, one poll after the other, without any node."""

import signal
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from launcher.errors import Exit
from launcher.run import RunDir
from launcher.supervise.allocation import Allocation
from launcher.supervise.fetching import Fetcher
from launcher.supervise.led import Led
from launcher.supervise.nodes import Peer
from launcher.supervise.orders import Orders
from launcher.supervise.policy import Ended, How, Told

PLAN: Any = SimpleNamespace(
    topology=SimpleNamespace(nodes=2, gpus_per_node=1, world_size=2), spares=0, cluster="slurm", silence_s=60.0,
    save=SimpleNamespace(timeout_s=600),
)  # fmt: skip
STEPPING = ["step", 5, 0.1, None, 0.0]
Poll = Callable[[Any], None]


class Scripted:
    """Two nodes that say at each poll what the next of `polls` makes them say."""

    def __init__(self, polls: Sequence[Poll]) -> None:
        self.polls = list(polls)
        self.told: list[str] = []
        wire: Any = None
        self.peers = {
            index: Peer(index, f"n{index + 1}", wire, {}, time.monotonic(), 0.0) for index in range(2)
        }

    def poll(self, timeout_s: float) -> None:
        if self.polls and all(peer.beats for peer in self.peers.values()):
            self.polls.pop(0)(self)

    def there(self) -> list[Peer]:
        return [peer for peer in self.peers.values() if not peer.lost]

    def tell(self, peers: Sequence[Peer], **message: Any) -> None:
        self.told.append(message["kind"])
        if message["kind"] == "start":
            for peer in peers:
                peer.beats = {message["first"]: STEPPING}

    def answers(self, peer: Peer, kind: str) -> list[dict[str, Any]]:
        if kind == "dumped":
            return [{"kind": kind, "states": {peer.index: "T" if peer.beats[peer.index][4] else "S"}}]
        return [{"kind": kind, "port": 1}] if kind in ("prepared", "stopped") else []


class Attempt:
    """One attempt over such nodes."""

    def __init__(self, folder: Any, *polls: Poll) -> None:
        self.run = RunDir(folder)
        self.stopped: Any = SimpleNamespace(signal=None, again=False)
        self.nodes: Any = Scripted(polls)
        step: Any = SimpleNamespace(poll=lambda: None)
        self.allocation = Allocation(self.run, PLAN, self.stopped, lambda nodes: step)
        self.allocation.nodes.listener.close()
        self.allocation.nodes, self.allocation._step = self.nodes, step
        lease: Any = SimpleNamespace(lost=False)
        self.led = Led(self.allocation, Fetcher(self.run, self.nodes, self.stopped, None), lease)

    def end(self) -> Ended:
        why = {signal.SIGUSR1: (Told.TIME_LIMIT, 100.0), signal.SIGTERM: (Told.CANCELLED, 20.0)}
        orders = Orders(
            number=1, folder="1_1", blamed=(), why_told=lambda number: why[signal.Signals(number)]
        )
        return self.led.attempt(orders)


def ends(**codes: int) -> Poll:
    """Ranks end: n1=CODE is rank 0's."""

    def poll(nodes: Scripted) -> None:
        for peer in nodes.peers.values():
            if peer.host in codes:
                peer.codes = {peer.index: codes[peer.host]}

    return poll


def test_a_run_that_ends_well_has_finished(tmp_path):
    assert Attempt(tmp_path, ends(n1=0), ends(n2=0)).end() == Ended(how=How.FINISHED)


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

    attempt = Attempt(tmp_path, warned, cancelled, ends(n1=Exit.LEFT, n2=Exit.LEFT))
    ended = attempt.end()
    assert (ended.how, ended.told) == (How.LEFT, Told.CANCELLED)
    assert attempt.nodes.told.count("leave") == 1
    assert [event["why"] for event in attempt.run.read_events() if event["event"] == "told"] == [
        "time limit",
        "cancelled",
    ]


def test_a_rank_that_is_stopped_while_it_loads_is_found_long_before_a_load_is_too_long(tmp_path):
    def loading(stopped_s: float) -> Poll:
        def poll(nodes: Scripted) -> None:
            nodes.peers[1].beats = {1: ["load", 0, stopped_s, None, stopped_s]}
            nodes.peers[1].heard = time.monotonic()

        return poll

    attempt = Attempt(tmp_path, loading(59.0), loading(61.0))
    ended = attempt.end()
    assert (ended.how, ended.hosts) == (How.HUNG, ("n2",))
    assert "rank 1 on n2 was stopped from outside (SIGSTOP) in phase 'load'" in ended.reason


def test_a_node_that_cannot_have_ranks_does_not_count_as_one_that_can(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.nodes.peers[1].bad = "its disk is full"
    ended = attempt.end()
    assert (ended.how, ended.hosts) == (How.LOST, ("n2",))
    assert len(attempt.allocation.good()) == 1


def test_srun_that_fails_by_itself_is_no_refusal_of_ours(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.nodes.peers.clear()
    dead: Any = SimpleNamespace(poll=lambda: 1, returncode=1)
    attempt.nodes.drop = lambda: None
    attempt.allocation._start_step = lambda nodes: dead
    attempt.allocation._step = None
    ended = attempt.end()
    assert (ended.how, ended.code) == (How.CRASHED, Exit.FAILED)
    assert "the command that starts the nodes ended with exit code 1" in ended.reason
