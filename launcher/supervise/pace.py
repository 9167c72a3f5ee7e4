"""Whether a rank is too slow: how long it may stay in a phase before it counts as hung, and hosts that compute more slowly
than others.

A phase has a floor, and what this run has shown. A slow host is found by a probe that each rank takes every few seconds
without waiting: step times cannot show it, because every rank waits for the slowest one, so that all ranks measure the same.
"""

import statistics
from collections import deque
from dataclasses import dataclass, field

from launcher.timeouts import HANG_FLOORS_S, OTHER_HANG_FLOOR_S

_LEARNS = ("step", "eval")
"""Phases whose limit falls below the floor once their length is known. Not a save: most saves are short, but one that waits
for a slow disk is not."""
_FACTOR = 10.0
"""The limit of a phase is the longest time that it has taken, times this."""
_ENOUGH = 5
"""Times that a phase must have been seen before its length is known."""
SLOW = 0.7
"""A host is slow below this share of the speed of the others."""
SUSTAINED = 6
"""Newest probes of which the median counts, so that a short disturbance does not."""


@dataclass
class HangLimits:
    """The limit of each phase, by how long it has taken so far."""

    step_floor_s: float
    """resources.hang_timeout_s: for steps and evaluations once their length is known."""
    save_floor_s: float = 0.0
    """For phase save, if it is more than the minimum."""
    longest: dict[str, float] = field(default_factory=dict[str, float])
    seen: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, phase: str, seconds: float, times: int = 1) -> None:
        """Records the seconds that a phase has taken, and with `times` how often it was seen."""
        self.longest[phase] = max(seconds, self.longest.get(phase, 0.0))
        self.seen[phase] = self.seen.get(phase, 0) + times

    def limit_s(self, phase: str) -> float:
        """Seconds without progress after which a rank in this phase counts as hung."""
        if phase == "save":
            return max(HANG_FLOORS_S[phase], self.save_floor_s)
        if phase not in _LEARNS or self.seen.get(phase, 0) < _ENOUGH:
            return max(HANG_FLOORS_S.get(phase, OTHER_HANG_FLOOR_S), _FACTOR * self.longest.get(phase, 0.0))
        return max(self.step_floor_s, _FACTOR * self.longest[phase])


class SpeedProbes:
    """The newest probes of every rank of an attempt."""

    def __init__(self) -> None:
        self._seconds: dict[int, deque[float]] = {}
        self._hosts: dict[int, str] = {}
        self._taken: dict[int, int] = {}
        self._reported: set[str] = set()

    def note(self, rank: int, host: str, number: int, seconds: float) -> bool:
        """Records a probe of a rank; False if it was known already."""
        if self._taken.get(rank) == number:
            return False
        self._taken[rank], self._hosts[rank] = number, host
        self._seconds.setdefault(rank, deque(maxlen=SUSTAINED)).append(seconds)
        return True

    def find_slow(self) -> dict[str, float]:
        """Host -> relative speed of its slowest rank, for hosts that are slow and were not named before."""
        if any(len(taken) < SUSTAINED for taken in self._seconds.values()) or len(self._seconds) < 2:
            return {}
        medians = {rank: statistics.median(taken) for rank, taken in self._seconds.items()}
        usual = statistics.median_low(medians.values())
        found: dict[str, float] = {}
        for rank, seconds in medians.items():
            host = self._hosts[rank]
            if usual < SLOW * seconds and host not in self._reported:
                found[host] = min(found.get(host, 1.0), usual / seconds)
        self._reported |= set(found)
        return found
