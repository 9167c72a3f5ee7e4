"""What follows the end of an attempt: a pure function of how the attempt ended and of the run's history."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from launcher.errors import Exit
from launcher.supervise.hosts import SUSPECT

TRIES = 3
"""Restarts in a row without a new committed checkpoint after which the run stops."""
ROLLBACKS = 2
"""Times that a run goes back to its newest checkpoint and skips a batch because the loss was NaN or infinite, or a spike."""
_FINAL = {
    Exit.REFUSED: "a restart would be refused again",
    Exit.USAGE: "a restart would be refused again",
    Exit.NOT_AS_PLANNED: "a restart would find the same difference",
    Exit.SAVE_FAILED: "a restart would fail to save too",
    Exit.OUT_OF_MEMORY: "a restart would need the same memory: python -m launcher plan, with what was typed for this run, "
    "shows what fits; a smaller batch.micro_batch_size or another strategy can go on with python -m launcher resume",
    Exit.FORGOT: "a restart would forget the same",
    Exit.FETCH_FAILED: "a restart would find the same: python -m launcher fetch, with what was typed for this run, where the "
    "hub can be reached, and then python -m launcher resume",
    Exit.ALREADY_RUNNING: "the other job goes on",
}


class How(Enum):
    """How an attempt of the ranks ended."""

    FINISHED = "finished"
    CRASHED = "crashed"
    """A rank ended with an exit code, or by a signal that nobody here sent."""
    HUNG = "hung"
    """A rank made no progress for too long."""
    LOST = "lost"
    """A node no longer answers."""
    SHUT_DOWN = "left"
    """The ranks saved and ended because they were told to. The value is what events.jsonl has always held."""
    CUT = "cut"
    """The ranks ended because they were told to, before they could save."""
    FENCED = "fenced"
    """The ranks were ended because another supervisor has the run's lease."""


class StopReason(Enum):
    """Why the supervisor was told to end."""

    NOTHING = "nothing"
    TIME_LIMIT = "time limit"
    PREEMPTED = "pre-empted"
    """The scheduler queues the job again by itself."""
    ASKED = "asked to shut down"
    """By a signal and nothing else: the cluster wants its nodes back, and queues nothing by itself."""
    CANCELLED = "cancelled"
    PRUNED = "pruned"
    """By its sweep, because the trial promises little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of one attempt."""

    how: How
    code: int = 0
    """Exit code of the rank that failed first; 128 + N for signal N."""
    reason: str = ""
    hosts: tuple[str, ...] = ()
    """The hosts to blame, where they are known."""
    told: StopReason = StopReason.NOTHING
    stop_s: float = 0.0
    """Seconds from the end of the attempt until no rank lived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The part of a run's past that the policy depends on."""

    without_progress: int = 0
    """Failed attempts since the newest committed checkpoint."""
    diverged: int = 0
    """Times that the run has diverged."""
    blamed: Mapping[str, int] = field(default_factory=dict[str, int])
    """Host -> times that it was to blame. A slow host counts as a suspect at once."""

    def suspects(self) -> tuple[str, ...]:
        """The hosts that another allocation should avoid."""
        return tuple(host for host, times in self.blamed.items() if times >= SUSPECT)


class Do(Enum):
    """What the supervisor does next."""

    FINISH = "finish"
    RESTART = "restart"
    """The ranks, in this allocation."""
    REQUEUE = "requeue"
    """The job, for another allocation."""
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """The decision."""

    do: Do
    code: Exit | int
    """The exit code of the job, where it ends."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What this job and its cluster can still do."""

    can_requeue: bool
    """Whether another allocation can be had without a person."""
    healthy_nodes: int
    """Nodes of this allocation that answer."""
    needed_nodes: int


def decide(ended: Ended, history: History, place: Capacity) -> Action:
    """What to do after the end of an attempt; `history` includes this end."""
    if ended.how is How.FINISHED:
        return Action(do=Do.FINISH, code=Exit.OK, reason="")
    if ended.code in _FINAL:
        why = _FINAL[Exit(ended.code)]
        return Action(do=Do.STOP, code=ended.code, reason=f"{ended.reason}; {why}")
    if ended.code == Exit.DIVERGED and history.diverged > ROLLBACKS:
        why = f"{ended.reason}; it was rolled back {ROLLBACKS} times already: lower trainer.learning_rate, or look at the data"
        return Action(do=Do.STOP, code=Exit.DIVERGED, reason=why)
    if history.without_progress >= TRIES and ended.told not in (
        StopReason.CANCELLED,
        StopReason.PREEMPTED,
        StopReason.PRUNED,
    ):
        why = f"{ended.reason}; {TRIES} attempts in a row ended without a new checkpoint"
        return Action(do=Do.STOP, code=Exit.NO_PROGRESS, reason=why)
    if ended.how in (How.SHUT_DOWN, How.CUT):
        return _after_being_told(ended, place)
    if place.healthy_nodes >= place.needed_nodes:
        return Action(do=Do.RESTART, code=Exit.OK, reason=ended.reason)
    if place.can_requeue:
        return Action(do=Do.REQUEUE, code=Exit.REQUEUED, reason=ended.reason)
    why = f"{ended.reason}; {place.healthy_nodes} of {place.needed_nodes} nodes are left"
    return Action(do=Do.STOP, code=Exit.FAILED, reason=why)


def _after_being_told(ended: Ended, place: Capacity) -> Action:
    if ended.told in (StopReason.TIME_LIMIT, StopReason.ASKED) and place.can_requeue:
        return Action(do=Do.REQUEUE, code=Exit.REQUEUED, reason=ended.reason)
    if ended.told is StopReason.PREEMPTED:
        return Action(do=Do.FINISH, code=Exit.REQUEUED, reason=ended.reason)
    if ended.told is StopReason.PRUNED:
        return Action(do=Do.STOP, code=Exit.PRUNED, reason=ended.told.value)
    return Action(do=Do.STOP, code=ended.code or Exit.TERMINATED, reason=ended.reason)


def read_history(events: Iterable[Mapping[str, Any]]) -> History:
    """The history in a run's events. An attempt that was told to end counts as failed only where a time limit left no time
    to save."""
    without = diverged = 0
    blamed: dict[str, int] = {}
    for event in events:
        if event["event"] in ("saved", "replanned", "stopped"):
            without = 0
        elif event["event"] == "diverged":
            diverged += 1
        elif event["event"] == "slow":
            blamed[event["host"]] = blamed.get(event["host"], 0) + SUSPECT
        elif event["event"] == "ended" and _counts(event):
            without += 1
            for host in event.get("hosts", ()):
                blamed[host] = blamed.get(host, 0) + 1
    return History(without_progress=without, diverged=diverged, blamed=blamed)


def _counts(event: Mapping[str, Any]) -> bool:
    faults = (How.CRASHED.value, How.HUNG.value, How.LOST.value)
    cut = event["how"] == How.CUT.value and event.get("told") == StopReason.TIME_LIMIT.value
    return event["how"] in faults or cut
