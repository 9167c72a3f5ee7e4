"""Who leads a job whose supervisor is lost: pure functions of what an agent or a supervisor has seen.

An agent has two signs of its supervisor: messages over the network, and the heartbeat on the file system. If both are silent,
the supervisor is dead, and the agent with the lowest index starts another one; the next one waits for its turn. If only the
messages are, the agent itself is cut off, and starts nothing. A supervisor leads only with at least half of the agents. None
of this has to be right for the run to be safe: that each term has one owner is decided by the lease alone.
"""

from dataclasses import dataclass, field
from enum import Enum

from launcher.timeouts import (
    HEARTBEAT_STILL_S,
    JOIN_S,
    LEADER_SILENT_S,
    LEADER_SUSPECT_S,
    SUPERVISOR_LOST_S,
    TURN_S,
)


class LeaderState(Enum):
    """The state of its supervisor, as an agent sees it."""

    LIVES = "lives"
    SUSPECT = "suspect"
    """It is silent: look at its heartbeat."""
    DEAD = "dead"
    """It is silent, and so is its heartbeat."""
    CUT_OFF = "cut off"
    """It is silent for so long that it has given this agent up, or will soon; it may live."""


@dataclass(kw_only=True)
class Signs:
    """What an agent has seen of its supervisor. Times are those of one clock, time.monotonic()."""

    heard: float
    """When the newest message came."""
    heartbeat: int | None = None
    """The newest heartbeat; None before the first look."""
    still_since: float | None = None
    """Since when it has not changed at any look; None before the first look."""
    _woke: float | None = field(default=None)

    def awake(self, moment: float, longest_s: float) -> None:
        """Notes that this process runs. It was stopped itself if it has not run for `longest_s`; that time says nothing about
        the supervisor, which can have been stopped with it."""
        if self._woke is not None and (gap := moment - self._woke) > longest_s:
            self.heard += gap
            self.still_since = None if self.still_since is None else self.still_since + gap
        self._woke = moment

    def message(self, moment: float) -> None:
        """Notes a message."""
        self.heard, self.heartbeat, self.still_since = moment, None, None

    def look(self, moment: float, heartbeat: int | None) -> None:
        """Notes the heartbeat that was read now; None if it could not be read, which says nothing."""
        if heartbeat is None:
            self.still_since = None
        elif heartbeat != self.heartbeat or self.still_since is None:
            self.heartbeat, self.still_since = heartbeat, moment

    def silent(self, moment: float, *, live_s: float = HEARTBEAT_STILL_S) -> bool:
        """Whether the heartbeat has not changed for `live_s`."""
        return self.still_since is not None and moment - self.still_since >= live_s

    def state(self, moment: float) -> LeaderState:
        """The state of the supervisor that follows from these signs."""
        quiet_s = moment - self.heard
        if quiet_s >= LEADER_SILENT_S and self.silent(moment):
            return LeaderState.DEAD
        if quiet_s >= SUPERVISOR_LOST_S:
            return LeaderState.CUT_OFF
        return LeaderState.SUSPECT if quiet_s >= LEADER_SUSPECT_S else LeaderState.LIVES


def turn_s(index: int, old: int, *, closed: bool) -> float:
    """Seconds for which an agent waits before it starts a supervisor. `old`: the index of the node whose supervisor is lost;
    `closed`: whether its connection was closed, which shows that its node is still alive. Otherwise that node is probably lost
    too, so that the nodes after it wait one turn less."""
    if closed or index < old:
        return index * TURN_S
    return TURN_S if index == old else (index - 1) * TURN_S


def has_quorum(agents: int, all_agents: int) -> bool:
    """Whether a supervisor with so many of all agents may lead. Two halves can both have a quorum: then the heartbeat tells the
    one that has lost its supervisor that it lives."""
    return agents > 0 and 2 * agents >= all_agents


def has_gathered(agents: int, all_agents: int, needed: int, since_last_s: float) -> bool:
    """Whether a new supervisor can begin: all agents have come, or enough and for a while no further one."""
    return agents >= all_agents or (
        agents >= needed and has_quorum(agents, all_agents) and since_last_s >= JOIN_S
    )
