"""Hosts that compute more slowly than the others, found by a probe that each rank takes every few seconds without waiting.

Step times cannot show them: every rank waits for the slowest one, so that all ranks measure the same.
"""

import statistics
from collections import deque

SLOW = 0.7
"""A host is slow below this share of the speed of the others."""
SUSTAINED = 6
"""Newest probes of which the median counts, so that a short disturbance does not."""


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
