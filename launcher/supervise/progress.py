"""Whether the ranks of an attempt advance, by the heartbeats of their nodes."""

import time

from launcher.plan import LaunchPlan
from launcher.supervise.nodes import Node
from launcher.supervise.pace import HangLimits
from launcher.supervise.slow_hosts import SlowHost, SpeedProbes
from launcher.timeouts import SAVE_HANGS, STOPPED_S

_FULL_S = 1.0
"""Seconds between two looks at the ranks of nodes that say nothing."""
_SLOW_S = 150e-6
"""Seconds between two searches for slow hosts, for each rank: 5 s with 32,768 ranks."""


class RankProgress:
    """The progress of the ranks. What it has learned of the length of phases holds for all attempts of the job."""

    def __init__(self, plan: LaunchPlan) -> None:
        self._hang_timeout_s, self._world_size = plan.hang_timeout_s, plan.topology.world_size
        save_floor_s = SAVE_HANGS * plan.save.timeout_s if plan.save else 0.0
        self._limits = HangLimits(step_floor_s=plan.hang_timeout_s, save_floor_s=save_floor_s)
        self._used: list[Node] = []
        self._last: dict[int, tuple[str, int, float]] = {}
        """Rank -> its phase and step, and the time.monotonic() at which it was first seen there."""
        self._probes = SpeedProbes()
        self._next_full = self._next_slow = 0.0

    def begin(self, used: list[Node]) -> None:
        """Begins with the ranks of these nodes."""
        self._used, self._last, self._probes = used, {}, SpeedProbes()

    def find_hung(self, spoke: list[Node], *, waiting: bool, since: float) -> str | None:
        """Which rank hangs, as a sentence, or None; also teaches the limits how long phases take.

        It looks at the nodes that have sent a message, and once a second at all nodes. `waiting`: whether ranks may be waiting
        for a server, which is not a hang; `since`: the time.monotonic() since which the server answers.
        """
        moment = time.monotonic()
        if moment > self._next_full:
            self._next_full = moment + _FULL_S
            spoke = self._used
        for node in spoke:
            for rank, (phase, step, age_s, probe, stopped_s) in node.heartbeats.items():
                if probe is not None:
                    self._probes.note(rank, node.host, probe)
                if stopped_s > STOPPED_S and rank not in node.codes:
                    # the limit is the same in every phase, because no phase stops a process
                    limit = STOPPED_S if self._others_run(rank) else self._hang_timeout_s
                    if stopped_s > limit:
                        what = f"was stopped from outside (SIGSTOP) in phase '{phase}' at step {step}"
                        return f"rank {rank} on {node.host} {what} for more than {limit:g} s"
                changed = node.heard - age_s
                before = self._last.get(rank)
                if before is None or before[:2] != (phase, step):
                    if before is not None:
                        steps = max(1, step - before[1]) if before[0] == phase == "step" else 1
                        self._limits.note(before[0], (changed - before[2]) / steps, steps)
                    self._last[rank] = (phase, step, changed)
                elif waiting or rank in node.codes:
                    continue
                elif moment - max(changed, since) > self._limits.limit_s(phase):
                    limit = self._limits.limit_s(phase)
                    return f"rank {rank} on {node.host} has been in phase '{phase}' at step {step} for more than {limit:.0f} s"
        return None

    def behind(self) -> list[int]:
        """The ranks that are at an earlier step than others."""
        steps = {rank: step for rank, (_, step, _) in self._last.items()}
        return [rank for rank, step in steps.items() if step < max(steps.values())]

    def find_slow(self) -> list[SlowHost]:
        """What is new about slow hosts in this attempt; looks now and then."""
        moment = time.monotonic()
        if moment < self._next_slow:
            return []
        self._next_slow = moment + _SLOW_S * self._world_size
        return self._probes.find_slow()

    def _others_run(self, rank: int) -> bool:
        """Whether another rank is alive and not stopped, so that not the whole job is suspended."""
        return any(
            other != rank and not state.stopped_s and other not in node.codes
            for node in self._used
            for other, state in node.heartbeats.items()
        )
