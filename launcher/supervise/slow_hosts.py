"""Hosts that compute more slowly than the others of an attempt.

They are found by a probe that each rank takes every few seconds without waiting for others. Step times cannot show them: every
rank waits for the slowest one, so that all measure the same. The slowest ranks of all hosts are compared, one window of probes
after the other. One slow window is chance; several in a row are reported; only a host whose own computation stays slow is
confirmed, and avoided from then on. Where the processors of a host have other work, its ranks wait, but the host is healthy:
that is reported and has no other effect.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from launcher.protocol.to_supervisor import ProbeResult

SLOW = 0.7
"""A host is slow in a window below this share of the speed of the others."""
WINDOW = 6
"""Probes of each rank in a window, of which the median counts: 30 s."""
TOLD = 2
"""Slow windows in a row after which a host is named."""
CONFIRMED = 6
"""Slow windows in a row after which a host is confirmed to be slow: 3 minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowHost:
    """What is new about a slow host."""

    host: str
    relative: float
    """The speed of its slowest rank as a share of the others' speed, in the newest window."""
    confirmed: bool = False
    """Whether it has stayed slow for CONFIRMED windows."""
    shared: bool = False
    """Whether it is as fast as the others while it computes, and waits for processors that other processes use."""

    def __str__(self) -> str:
        if self.shared:
            why = "because other processes use its processors"
            return f"{self.host} advances at {self.relative:.2f} of the others' speed, {why}"
        how = (
            f", for the last {CONFIRMED * WINDOW} probes: it is avoided from now on" if self.confirmed else ""
        )
        return f"{self.host} computes at {self.relative:.2f} of the others' speed{how}"


@dataclass
class _Streak:
    """Slow windows in a row of one host."""

    itself: int = 0
    """Judged by the time that the probes computed, without waits."""
    with_waits: int = 0
    """Judged by that time plus the time that the probes waited for a processor."""
    told: set[str] = field(default_factory=set[str])
    """What has been reported of the host in this attempt."""


class SpeedProbes:
    """The probes of every rank of an attempt since the last full window."""

    def __init__(self) -> None:
        self._window: dict[int, list[ProbeResult]] = {}
        self._hosts: dict[int, str] = {}
        self._taken: dict[int, int] = {}
        self._streaks: dict[str, _Streak] = {}

    def note(self, rank: int, host: str, probe: ProbeResult) -> bool:
        """Records a probe of a rank; False if it was known already."""
        if self._taken.get(rank) == probe.number:
            return False
        self._taken[rank], self._hosts[rank] = probe.number, host
        taken = self._window.setdefault(rank, [])
        taken.append(probe)
        del taken[:-WINDOW]
        return True

    def find_slow(self) -> list[SlowHost]:
        """What the window shows that was not reported before in this attempt; empty before the window is full, and if there is
        only one host."""
        if any(len(taken) < WINDOW for taken in self._window.values()) or len(set(self._hosts.values())) < 2:
            return []
        itself = {
            rank: statistics.median(one.seconds for one in taken) for rank, taken in self._window.items()
        }
        waiting = {
            rank: statistics.median(one.seconds + one.waited_s for one in taken)
            for rank, taken in self._window.items()
        }
        for taken in self._window.values():
            taken.clear()
        alone, together = self._speeds(itself), self._speeds(waiting)
        found = [self._judge(host, alone[host], together[host]) for host in alone]
        return [one for one in found if one is not None]

    def _speeds(self, seconds: Mapping[int, float]) -> dict[str, float]:
        """Host -> the speed of its slowest rank, as a share of the usual speed. The usual time is the lower median over the
        hosts, so that of two hosts the faster one counts."""
        slowest: dict[str, float] = {}
        for rank, one in seconds.items():
            slowest[self._hosts[rank]] = max(one, slowest.get(self._hosts[rank], 0.0))
        usual = statistics.median_low(slowest.values())
        return {host: usual / one if one > 0 else 1.0 for host, one in slowest.items()}

    def _judge(self, host: str, alone: float, together: float) -> SlowHost | None:
        streak = self._streaks.setdefault(host, _Streak())
        streak.itself = streak.itself + 1 if alone < SLOW else 0
        streak.with_waits = streak.with_waits + 1 if together < SLOW else 0
        if streak.itself >= CONFIRMED and "confirmed" not in streak.told:
            streak.told |= {"slow", "confirmed"}
            return SlowHost(host=host, relative=alone, confirmed=True)
        if streak.itself >= TOLD and "slow" not in streak.told:
            streak.told.add("slow")
            return SlowHost(host=host, relative=alone)
        if streak.with_waits >= CONFIRMED and not streak.itself and "shared" not in streak.told:
            streak.told.add("shared")
            return SlowHost(host=host, relative=together, shared=True)
        return None
