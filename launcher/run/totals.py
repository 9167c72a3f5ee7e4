"""History -> a run's totals: whether it is over, the time and GPUs that it used, and the useful share of the time."""

from dataclasses import dataclass, field
from enum import Enum

from launcher.errors import Exit
from launcher.run.course import seconds
from launcher.run.dir import RunDir
from launcher.run.events import Event
from launcher.run.events.base import How, StopReason
from launcher.run.events.checkpoints import Saved
from launcher.run.events.launching import Cancelled, Planned, Replanned, Submitted
from launcher.run.events.ranks import Crashed, Diverged
from launcher.run.events.supervisor import Ended, Finished, Pruned, Requeued, Slow, Started, Stopped
from launcher.run.history import History

_FROM_OUTSIDE = (Planned, Submitted, Replanned)
"""Events that a command can write while no rank is running."""
_OVER = (Finished, Pruned, Stopped)
_BY_REQUEST = (Exit.INTERRUPTED, Exit.TERMINATED)
_FAULTS = (How.CRASHED.value, How.HUNG.value, How.LOST.value)


class Standing(Enum):
    """Where a run is by its own files alone."""

    PLANNED = "planned"
    SUBMITTED = "submitted"
    RUNNING = "running"
    REQUEUED = "requeued"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    PRUNED = "pruned"
    STOPPED = "stopped"


_ENDS = {
    Finished: Standing.FINISHED,
    Cancelled: Standing.CANCELLED,
    Pruned: Standing.PRUNED,
    Stopped: Standing.STOPPED,
    Requeued: Standing.REQUEUED,
}
"""The first of these wins: a cancelled run also stops, and a cancel can come after the finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The part of a run's past that its supervisor uses to decide what to do next."""

    without_progress: int = 0
    """Attempts that failed since the newest committed checkpoint."""
    diverged: int = 0
    """Times that the loss was NaN or infinite, or jumped."""
    blamed: dict[str, int] = field(default_factory=dict[str, int])
    """Host -> failed attempts for which it was to blame."""
    slow: dict[str, int] = field(default_factory=dict[str, int])
    """Host -> attempts in which it was confirmed to be slow."""


def was_cancelled(event: Event) -> bool:
    """Whether the run ended by request: by a cancel, or by a signal to its supervisor."""
    return isinstance(event, Cancelled) or (isinstance(event, Stopped) and event.exit_code in _BY_REQUEST)


def standing(history: History) -> Standing:
    """Where the run is since its newest job was submitted or started."""
    events = history.events
    begun = max(
        (at for at, event in enumerate(events) if isinstance(event, Submitted | Started)),
        default=-1,
    )
    since = events[begun + 1 :]
    for kind, found in _ENDS.items():
        if any(isinstance(event, kind) for event in since):
            ended_so = found is Standing.STOPPED and any(map(was_cancelled, since))
            return Standing.CANCELLED if ended_so else found
    if history.newest(Started) is not None:
        return Standing.RUNNING
    return Standing.SUBMITTED if history.newest(Submitted) is not None else Standing.PLANNED


def ended_by(history: History) -> Finished | Pruned | Stopped | None:
    """The event that ended the run; None for one that has not ended, or was planned, queued or started again since."""
    for event in reversed(history.events):
        if isinstance(event, _OVER):
            return event
        if isinstance(event, (Started, Requeued, Submitted, Replanned)):
            return None
    return None


def error(history: History) -> str | None:
    """The first rank's error in the last attempt, else why its supervisor stopped; None if there is neither."""
    attempt = max((event.attempt for event in history.events), default=0)
    crashed = next((event for event in history.all(Crashed) if event.attempt == attempt), None)
    stopped = [event for event in history.all(Stopped) if event.attempt == attempt]
    return crashed.told if crashed else stopped[-1].reason if stopped else None


def faults(history: History) -> Faults:
    """The faults so far. A requested end is not a fault, but a time limit that leaves no time to save is one."""
    without = diverged = 0
    blamed: dict[str, int] = {}
    slow: dict[str, int] = {}
    for event in history.events:
        if isinstance(event, (Saved, Replanned, Stopped)):
            without = 0
        elif isinstance(event, Diverged):
            diverged += 1
        elif isinstance(event, Slow) and event.confirmed:
            slow[event.host] = slow.get(event.host, 0) + 1
        elif isinstance(event, Ended) and _is_fault(event):
            without += 1
            for host in event.hosts:
                blamed[host] = blamed.get(host, 0) + 1
    return Faults(without_progress=without, diverged=diverged, blamed=blamed, slow=slow)


def _is_fault(event: Ended) -> bool:
    cut = event.how == How.CUT.value and event.told == StopReason.TIME_LIMIT.value
    return event.how in _FAULTS or cut


def effective_training_time(history: History, until: str) -> float | None:
    """Kept steps x their median time / wall time since the first start; None before there are two steps.

    `until`: now, for a run that is not over.
    """
    course, starts = history.course, history.all(Started)
    if course.step_s is None or course.last_timed is None or not starts:
        return None
    over = ended_by(history)
    wall = seconds(over.time if over else until) - seconds(starts[0].time)
    return min(1.0, course.last_timed.step * course.step_s / wall) if wall > 0 else None


def held_s(history: History, until: str | None = None) -> float:
    """Seconds for which the run held its nodes: restarts inside a job count, waiting in the queue does not.

    `until`: the end of what still runs. A job that ended without an event of its end counts until its last event or metric.
    """
    total, last = 0.0, 0.0
    begun: float | None = None
    between = False
    for event in sorted((event for event in history.events if event.time), key=lambda event: event.time):
        moment = seconds(event.time)
        if isinstance(event, Started):
            if begun is not None and not between:
                total += max(last, history.course.last_sign(moment) or begun) - begun
                begun = None
            begun, between = moment if begun is None else begun, False
        elif begun is None or isinstance(event, _FROM_OUTSIDE):
            continue
        elif isinstance(event, (*_OVER, Requeued)):
            total += moment - begun
            begun = None
        elif isinstance(event, Ended):
            between = True
        last = moment
    if begun is not None:
        end = seconds(until) if until is not None else max(last, history.course.last_sign() or begun)
        total += end - begun
    return round(total, 6)


def gpus_held(run: RunDir) -> float:
    """GPUs of all its nodes, spares and a server's too; with device=cpu its CPU ranks. A trial that shares its base model holds
    an equal share of its group's GPU."""
    plan = run.read_json(run.plan)
    topology, server = plan["topology"], plan.get("generation") or {"nodes": 0, "gpus": 0}
    own, more = topology["gpus_per_node"], server["gpus"]
    each = max(own, more) if server["nodes"] else own + more
    held = (topology["nodes"] + server["nodes"] + plan["spares"]) * each
    return held / run.read_json(run.together)["trials"] if run.together.is_file() else held


def gpu_s(run: RunDir, history: History, until: str | None = None) -> float:
    """Seconds in which the run held GPUs (with device=cpu, ranks), times their number."""
    held = held_s(history, until)
    return held * gpus_held(run) if held else 0.0
