"""What follows the end of an attempt: a pure function of how the attempt ended and of the run's history."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from launcher.errors import Exit
from launcher.run.events.base import How, StopReason
from launcher.run.totals import Faults
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
    "shows what fits; with a smaller batch.micro_batch_size or another strategy, python -m launcher resume continues the run",
    Exit.FORGOT: "a restart would lead to the same forgetting",
    Exit.FETCH_FAILED: "a restart would fail the same way: run python -m launcher fetch, with what was typed for this run, "
    "where the hub can be reached, and then python -m launcher resume",
    Exit.START_FAILED: "a restart would run the same command: correct cluster.srun, cluster.setup, "
    "cluster.container or generation.command, and launch again",
    Exit.ALREADY_RUNNING: "the other job continues",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """The end of one attempt."""

    how: How
    code: int = 0
    """Exit code of the rank that failed first; 128 + N for signal N."""
    reason: str = ""
    hosts: tuple[str, ...] = ()
    """The hosts to blame, if they are known."""
    told: StopReason = StopReason.NOTHING
    stop_s: float = 0.0
    """Seconds from the end of the attempt until no rank lived."""


class Do(Enum):
    """What the supervisor does next."""

    FINISH = "finish"
    RESTART = "restart"
    """Start the ranks again in this allocation."""
    REQUEUE = "requeue"
    """Queue the job again, for another allocation."""
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """The decision."""

    do: Do
    code: Exit | int
    """The exit code of the job, if it ends."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What this job and its cluster can still do."""

    can_requeue: bool
    """Whether another allocation can be requested automatically."""
    healthy_nodes: int
    """Nodes of this allocation that answer."""
    needed_nodes: int
    keeps_job: bool = False
    """Whether the cluster leaves the job where it is, so that the ranks can start again after a signal to shut down."""


def decide(ended: EndedAttempt, faults: Faults, place: Capacity) -> Action:
    """What to do after the end of an attempt; `faults` include this end."""
    if ended.how is How.FINISHED:
        return Action(do=Do.FINISH, code=Exit.OK, reason="")
    if ended.code in _FINAL:
        why = _FINAL[Exit(ended.code)]
        return Action(do=Do.STOP, code=ended.code, reason=f"{ended.reason}; {why}")
    if ended.code == Exit.DIVERGED and faults.diverged > ROLLBACKS:
        why = f"{ended.reason}; it was already rolled back {ROLLBACKS} times: lower trainer.learning_rate, or check the data"
        return Action(do=Do.STOP, code=Exit.DIVERGED, reason=why)
    if faults.without_progress >= TRIES and ended.told not in (
        StopReason.CANCELLED,
        StopReason.PREEMPTED,
        StopReason.PRUNED,
    ):
        why = f"{ended.reason}; {TRIES} attempts in a row ended without a new checkpoint"
        return Action(do=Do.STOP, code=Exit.NO_PROGRESS, reason=why)
    if ended.how in (How.SHUT_DOWN, How.CUT):
        return _after_a_shutdown(ended, place)
    if place.healthy_nodes >= place.needed_nodes:
        return Action(do=Do.RESTART, code=Exit.OK, reason=ended.reason)
    if place.can_requeue:
        return Action(do=Do.REQUEUE, code=Exit.REQUEUED, reason=ended.reason)
    why = f"{ended.reason}; {place.healthy_nodes} of {place.needed_nodes} nodes are left"
    return Action(do=Do.STOP, code=Exit.FAILED, reason=why)


def _after_a_shutdown(ended: EndedAttempt, place: Capacity) -> Action:
    stays = place.keeps_job and place.healthy_nodes >= place.needed_nodes
    if ended.told is StopReason.ASKED and ended.how is How.SHUT_DOWN and stays:
        return Action(do=Do.RESTART, code=Exit.OK, reason=ended.reason)
    again = (StopReason.TIME_LIMIT, StopReason.ASKED, StopReason.SCRIPT_ENDED)
    if ended.told in again and place.can_requeue:
        return Action(do=Do.REQUEUE, code=Exit.REQUEUED, reason=ended.reason)
    if ended.told is StopReason.PREEMPTED:
        return Action(do=Do.FINISH, code=Exit.REQUEUED, reason=ended.reason)
    if ended.told is StopReason.PRUNED:
        return Action(do=Do.STOP, code=Exit.PRUNED, reason=ended.told.value)
    return Action(do=Do.STOP, code=ended.code or Exit.TERMINATED, reason=ended.reason)


def blamed(faults: Faults) -> dict[str, int]:
    """Host -> times that it was to blame; one that was confirmed to be slow counts as a suspect at once."""
    found = dict(faults.blamed)
    for host, times in faults.slow.items():
        found[host] = found.get(host, 0) + times * SUSPECT
    return found


def suspects(faults: Faults) -> tuple[str, ...]:
    """The hosts that another allocation should avoid."""
    return tuple(host for host, times in blamed(faults).items() if times >= SUSPECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptContext:
    """One attempt: its number, its log folder, and what its runner has to know of the job."""

    number: int
    """From 1, over all jobs of the run."""
    folder: str
    """Name of its folder below logs/."""
    blamed: Iterable[str]
    """Hosts to use only if there are no others."""
    explain_signal: Callable[[int], tuple[StopReason, float]]
    """Signal -> why the job must end, and how many seconds remain at most."""
