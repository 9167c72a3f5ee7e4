"""Which hosts are named as slow, and which of them are confirmed."""

import random

from launcher.protocol.to_supervisor import ProbeResult
from launcher.supervise.slow_hosts import CONFIRMED, TOLD, WINDOW, SlowHost, SpeedProbes

USUAL = 0.003


class Attempt:
    """Probes of some ranks, two a host: n0 has the ranks 0 and 1."""

    def __init__(self, ranks: int) -> None:
        self.probes, self.ranks, self.number = SpeedProbes(), ranks, 0

    def window(self, seconds: dict[int, float], waited: dict[int, float] | None = None) -> list[SlowHost]:
        """What is found after a window in which these ranks differ from the usual."""
        found: list[SlowHost] = []
        for _ in range(WINDOW):
            assert found == []  # the window is not full yet
            self.number += 1
            for rank in range(self.ranks):
                one = ProbeResult(self.number, seconds.get(rank, USUAL), (waited or {}).get(rank, 0.0))
                assert self.probes.note(rank, f"n{rank // 2}", one)
            found = self.probes.find_slow()
        return found


def test_one_slow_window_is_not_told_and_two_in_a_row_are():
    attempt = Attempt(4)
    assert attempt.window({3: 0.006}) == []
    assert attempt.window({}) == []
    assert [attempt.window({3: 0.006}) for _ in range(TOLD)][-1] == [SlowHost(host="n1", relative=0.5)]


def test_a_host_is_confirmed_after_minutes_without_a_window_at_speed():
    attempt = Attempt(4)
    found = [attempt.window({2: 0.006, 3: 0.006}) for _ in range(CONFIRMED + 3)]
    assert found[CONFIRMED - 1] == [SlowHost(host="n1", relative=0.5, confirmed=True)]
    assert sum(map(len, found)) == 2  # each is said once
    again = Attempt(4)
    for number in range(4 * CONFIRMED):
        for one in again.window({} if number % CONFIRMED == CONFIRMED - 1 else {3: 0.006}):
            assert not one.confirmed


def test_a_host_whose_processors_have_other_work_is_told_to_be_shared_and_never_slow():
    attempt = Attempt(4)
    found = [one for _ in range(3 * CONFIRMED) for one in attempt.window({}, waited={2: 0.02, 3: 0.01})]
    assert [(one.host, one.shared, one.confirmed) for one in found] == [("n1", True, False)]
    assert "other processes use its processors" in str(found[0])


def test_a_host_is_not_compared_with_itself():
    attempt = Attempt(2)
    assert [one for _ in range(2 * CONFIRMED) for one in attempt.window({1: 0.3}, waited={1: 3.0})] == []


def test_of_two_hosts_the_faster_one_is_usual_and_a_small_difference_is_none():
    attempt = Attempt(4)
    assert [attempt.window({0: 0.006, 1: 0.006}) for _ in range(TOLD)][-1] == [
        SlowHost(host="n0", relative=0.5)
    ]
    assert [one for _ in range(CONFIRMED) for one in Attempt(4).window({0: 0.004, 1: 0.004})] == []


def test_hosts_that_are_disturbed_by_chance_are_not_confirmed():
    """Every probe of every rank is between 1 and 4 times as long as usual, as on processors that all hosts share."""
    chance = random.Random(7)
    attempt, confirmed = Attempt(8), 0
    for _ in range(200):
        found = attempt.window({rank: USUAL * chance.uniform(1, 4) for rank in range(8)})
        confirmed += sum(one.confirmed for one in found)
    assert confirmed == 0


def test_a_probe_that_was_seen_before_does_not_count():
    probes = SpeedProbes()
    assert probes.note(0, "n0", ProbeResult(1, USUAL, 0.0))
    assert not probes.note(0, "n0", ProbeResult(1, USUAL, 0.0))
