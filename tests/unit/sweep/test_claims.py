"""Two workers never take the same trial, and a trial whose worker is gone can be taken over once."""

import multiprocessing
import os
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from launcher.sweep.claims import Worker, claim, give_up, note, own, read_claim, read_claims
from launcher.sweep.folder import SweepDir

RACES, WORKERS = 200, 4


def worker(task: str | None = None, pid: int | None = None) -> Worker:
    return Worker(task=task, host="here", pid=pid or os.getpid(), started=1)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDir:
    sweep = SweepDir(tmp_path)
    sweep.claims.mkdir()
    sweep.outcomes.mkdir()
    return sweep


def _race(path: str, barrier: Barrier, won: "multiprocessing.Queue[tuple[int, int]]", over: bool) -> None:
    sweep = SweepDir(Path(path))
    for number in range(RACES):
        barrier.wait(60)
        if claim(sweep, number, worker(), (lambda holder: holder["pid"] == 1) if over else None):
            won.put((number, os.getpid()))


@pytest.mark.parametrize("over", [False, True], ids=["free", "taken over from a worker that is gone"])
def test_of_workers_that_claim_at_once_one_has_the_trial(sweep, over):
    if over:
        for number in range(RACES):
            assert claim(sweep, number, worker(pid=1))
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(WORKERS), context.Queue()
    racers = [
        context.Process(target=_race, args=(str(sweep.path), barrier, won, over)) for _ in range(WORKERS)
    ]
    for racer in racers:
        racer.start()
    winners = [won.get(timeout=120) for _ in range(RACES)]
    for racer in racers:
        racer.join(60)
    time.sleep(0.1)
    assert won.empty(), "a trial was claimed twice"
    assert sorted(number for number, _ in winners) == list(range(RACES))
    for number, pid in winners:
        found = read_claim(sweep, number)
        assert found is not None
        assert found["worker"]["pid"] == pid


def test_a_task_that_was_queued_again_finds_the_trial_it_had(sweep):
    assert own(sweep, worker("7_1")) == []
    assert claim(sweep, 3, worker("7_0"))
    assert claim(sweep, 4, worker("7_1"))
    assert own(sweep, worker("7_1", pid=99)) == [4]
    (sweep.outcomes / "4.json").write_text("{}")
    assert own(sweep, worker("7_1")) == []


def test_a_trial_that_was_given_up_keeps_its_values_and_can_be_claimed_again(sweep):
    assert claim(sweep, 0, worker("7_0"))
    note(sweep, 0, values={"seed": "1"}, params={"seed": 1})
    assert not claim(sweep, 0, worker("7_1"))
    give_up(sweep, 0)
    assert claim(sweep, 0, worker("8_0"))
    found = read_claims(sweep)[0]
    assert found["worker"]["task"] == "8_0"
    assert found["values"] == {"seed": "1"}
