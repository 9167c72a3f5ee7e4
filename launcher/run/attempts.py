"""History -> the attempts of a run: their start and end, what ended each, its kept training, and what followed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from launcher.run.course import seconds
from launcher.run.events import Event
from launcher.run.events.checkpoints import Resumed, Saved, Stepping
from launcher.run.events.launching import Cancelled
from launcher.run.events.ranks import Training, Working
from launcher.run.events.results import Evaluated, Exported, Sample
from launcher.run.events.supervisor import Ended, Finished, Pruned, Requeued, Slow, Started, Stopped
from launcher.run.history import History

T = TypeVar("T", bound=Event)

UNKNOWN = "unknown"
"""The `how` of an attempt without an end event that another attempt followed."""
_APART = {"evaluate": "evaluation", "answer": "sample answer", "export": "export"}
_ENDS: tuple[tuple[type[Event], ...], ...] = ((Ended,), (Finished, Stopped, Requeued, Pruned), (Cancelled,))
"""Events that tell the end of an attempt, the most exact first. A cancel comes before the ranks have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One start of the ranks. Times are in seconds since the start of the run's first attempt."""

    number: int
    job_id: str | None
    host: str | None
    """The supervisor's host."""
    started: str
    """ISO 8601, UTC."""
    resumed_from: int | None
    """The step of the checkpoint from which it resumed; None if it started from step 0, or has not loaded anything yet."""
    how: str | None
    """How it ended: a value of How, the kind of the event that ended it, or UNKNOWN; None while it runs."""
    reason: str | None
    hosts: Sequence[str]
    """Hosts to blame for its end."""
    slow: Mapping[str, float]
    """Host -> its speed as a share of the others'."""
    began: float
    trained: float
    """When its first step was done; its end if there was none."""
    kept: float
    """The time until which its training was kept."""
    ended: float
    from_step: int
    to_step: int | None
    """The last logged step; None if none was logged."""
    lost_steps: int
    """Logged steps that had to be done again, or that no checkpoint holds."""
    apart: Sequence[tuple[str, float, float]]
    """(evaluation, sample answer or export, begin, end): work other than training, while the attempt trains."""
    saves: Sequence[tuple[float, int]]
    """(time, step) of its committed checkpoints."""
    stopped: bool
    """Whether the run was stopped after it, until a person resumed it."""
    requeued: bool
    """Whether the run was queued again after it."""


def find_attempts(history: History, until: str) -> list[Attempt]:
    """All attempts in their order; `until`: the end of one that still runs, ISO 8601."""
    starts = history.all(Started)
    own: list[list[Event]] = []
    newest: dict[int, list[Event]] = {}
    for event in history.events:
        if isinstance(event, Started):
            newest[event.attempt] = []
            own.append(newest[event.attempt])
        elif event.attempt in newest:
            newest[event.attempt].append(event)
    known = _Known.of(history)
    return [
        _attempt(history, known, start, own[index], following, starts[0].time, until)
        for index, (start, following) in enumerate(pairwise([*starts, None]))
        if start is not None
    ]


@dataclass(frozen=True, slots=True)
class _Known:
    """Facts from all events that each attempt needs, looked up once."""

    went_on: Mapping[int, int]
    """Attempt -> the step from which it trained."""
    saved: Mapping[int, int]
    """Attempt -> the newest step that it saved."""

    @classmethod
    def of(cls, history: History) -> "_Known":
        went_on: dict[int, int] = {}
        saved: dict[int, int] = {}
        for event in history.events:
            if isinstance(event, Resumed | Training):
                went_on.setdefault(event.attempt, event.step)
            elif isinstance(event, Saved):
                saved[event.attempt] = max(event.step, saved.get(event.attempt, 0))
        return cls(went_on, saved)


def _attempt(
    history: History,
    known: _Known,
    start: Started,
    own: Sequence[Event],
    following: Started | None,
    origin: str,
    until: str,
) -> Attempt:
    first = seconds(origin)
    end = _end(own)
    over = end or following
    began, ended = seconds(start.time), seconds(over.time if over else until)
    logged = history.course.logged(began, ended)
    resumed = _last(own, Resumed)
    from_step, to_step = resumed.step if resumed else 0, logged.to_step if logged else None
    stepping = next((event for event in own if isinstance(event, Stepping)), None)
    trained = seconds(stepping.time) if stepping else logged.began if logged else ended
    kept_step = _kept_step(known, start, following, to_step, own)
    lost = max(0, to_step - max(kept_step, from_step)) if to_step is not None else 0
    kept = ended
    if lost:
        found = logged.time_of(kept_step) if logged else None
        kept = trained if found is None else found
    how, reason = _how(end, following)
    return Attempt(
        number=start.attempt,
        job_id=start.job_id,
        host=start.host,
        started=start.time,
        resumed_from=resumed.step if resumed else None,
        how=how,
        reason=reason,
        hosts=tuple(end.hosts) if isinstance(end, Ended) else (),
        slow={event.host: event.relative for event in own if isinstance(event, Slow)},
        began=began - first,
        trained=min(trained, ended) - first,
        kept=kept - first,
        ended=ended - first,
        from_step=from_step,
        to_step=to_step,
        lost_steps=lost,
        apart=tuple(
            (name, begin - first, until - first) for name, begin, until in _apart(own, min(ended, kept))
        ),
        saves=tuple((seconds(event.time) - first, event.step) for event in own if isinstance(event, Saved)),
        stopped=_last(own, Stopped) is not None,
        requeued=_last(own, Requeued) is not None,
    )


def _apart(own: Sequence[Event], ended: float) -> Iterator[tuple[str, float, float]]:
    """(kind, begin, end) of work other than training; each lasts until its result, or until something else begins."""
    told = [event for event in own if isinstance(event, Working | Evaluated | Sample | Exported | Stepping)]
    for event, after in pairwise([*told, None]):
        if isinstance(event, Working) and event.on in _APART:
            begin, end = seconds(event.time), seconds(after.time) if after else ended
            if begin < ended:
                yield _APART[event.on], begin, min(end, ended)


def _end(own: Sequence[Event]) -> Event | None:
    """The event that says most precisely how the attempt ended; None if there is none."""
    for kinds in _ENDS:
        for event in own:
            if isinstance(event, kinds):
                return event
    return None


def _how(end: Event | None, following: Started | None) -> tuple[str | None, str | None]:
    if isinstance(end, Ended):
        return end.how, end.reason
    if end is not None:
        return end.kind, end.reason if isinstance(end, Stopped | Requeued) else None
    return (UNKNOWN, "how it ended was not recorded") if following is not None else (None, None)


def _kept_step(
    known: _Known, start: Started, following: Started | None, to_step: int | None, own: Sequence[Event]
) -> int:
    """The last step that did not have to be repeated: the one from which the next attempt continued, else the newest save."""
    if following is not None:
        if (went_on := known.went_on.get(following.attempt)) is not None:
            return went_on
    elif _end(own) is None or _last(own, Finished) is not None:
        return to_step or 0
    return max((step for attempt, step in known.saved.items() if attempt <= start.attempt), default=0)


def _last(own: Sequence[Event], kind: type[T]) -> T | None:
    return next((event for event in reversed(own) if isinstance(event, kind)), None)
