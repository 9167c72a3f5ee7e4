"""What a node sees of the processes that are its ranks."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from launcher.protocol.codec import encode
from launcher.protocol.ranks import RankHeartbeat
from launcher.supervise.ranks import Rank, Ranks
from launcher.supervise.starters import ColdStarter


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_rank_is_stopped_while_its_process_is_and_says_nothing(tmp_path, child):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ranks, moment = Ranks(ColdStarter(tmp_path)), time.monotonic()
    ranks.ranks = [Rank(0, child.pid, ours, os.memfd_create("stacks"), moment, moment)]

    def stopped_s() -> float:
        return ranks.states()[0].stopped_s

    assert stopped_s() == 0
    os.kill(child.pid, signal.SIGSTOP)
    until(lambda: stopped_s() > 0.2)
    theirs.send(encode(RankHeartbeat(phase="load", step=0, probe=None)))
    ranks.poll()
    assert stopped_s() == 0  # what speaks is not stopped for long
    until(lambda: stopped_s() > 0.2)
    os.kill(child.pid, signal.SIGCONT)
    until(lambda: stopped_s() == 0)
    ranks.close()
    theirs.close()


def test_a_process_that_is_slowed_down_by_many_stops_is_not_stopped(tmp_path):
    """As cpulimit does it: the process is nearly always seen stopped, but it computes in between."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ranks, moment = Ranks(ColdStarter(tmp_path)), time.monotonic()
    ranks.ranks = [Rank(0, busy.pid, ours, os.memfd_create("stacks"), moment, moment)]
    seen: list[float] = []
    try:
        for _ in range(20):
            os.kill(busy.pid, signal.SIGSTOP)
            time.sleep(0.05)
            seen.append(ranks.states()[0].stopped_s)
            os.kill(busy.pid, signal.SIGCONT)
            time.sleep(0.05)
    finally:
        busy.kill()
        busy.wait()
        ranks.close()
        theirs.close()
    assert max(seen) < 0.5
