"""Hosts that compute more slowly than the others, by a probe that each rank takes by itself every few seconds.

Step times cannot tell: every rank waits for the slowest, so all steps take as long.
"""

import statistics
from collections import deque

SLOW = 0.7
"""Speed relative to the others' under which a host is slow."""
SUSTAINED = 6
"""Probes that must agree: the median of the newest counts, so that no moment's disturbance does."""


class SpeedProbes:
    """The newest probes of every rank of an attempt."""

    def __init__(self) -> None:
        self._seconds: dict[int, deque[float]] = {}
        self._hosts: dict[int, str] = {}
        self._taken: dict[int, int] = {}
        self._told: set[str] = set()

    def note(self, rank: int, host: str, number: int, seconds: float) -> bool:
        """Takes a rank's probe; False where it was known."""
        if self._taken.get(rank) == number:
            return False
        self._taken[rank], self._hosts[rank] = number, host
        self._seconds.setdefault(rank, deque(maxlen=SUSTAINED)).append(seconds)
        return True

    def find_slow(self) -> dict[str, float]:
        """Host -> relative speed of its slowest rank, for hosts that have just turned out to be slow."""
        if any(len(taken) < SUSTAINED for taken in self._seconds.values()) or len(self._seconds) < 2:
            return {}
        medians = {rank: statistics.median(taken) for rank, taken in self._seconds.items()}
        usual = statistics.median_low(medians.values())
        found: dict[str, float] = {}
        for rank, seconds in medians.items():
            host = self._hosts[rank]
            if usual < SLOW * seconds and host not in self._told:
                found[host] = min(found.get(host, 1.0), usual / seconds)
        self._told |= set(found)
        return found
