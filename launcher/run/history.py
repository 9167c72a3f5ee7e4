"""The history of a run by its files, read once and then only as far as they have grown."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from launcher.run.course import Course
from launcher.run.dir import RunDir
from launcher.run.events import Event, EventReader
from launcher.run.metrics import Line, MetricsReader

E = TypeVar("E", bound=Event)


@dataclass(slots=True, kw_only=True)
class History:
    """Events and the course of training so far."""

    events: list[Event] = field(default_factory=list[Event])
    """Oldest first."""
    course: Course = field(default_factory=Course)
    damaged: dict[str, int] = field(default_factory=dict[str, int])
    """File -> its lines that were left out: torn, no JSON objects, or with a value of another type than their field."""

    @classmethod
    def of(cls, events: Iterable[Event], metrics: Iterable[Line] = ()) -> "History":
        """The history that these events and lines make."""
        return cls(events=list(events), course=Course(metrics))

    def all(self, kind: type[E]) -> list[E]:
        """The events of a kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def newest(self, kind: type[E]) -> E | None:
        """The newest event of a kind."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)


class HistoryReader:
    """Reads a run's history; each look adds what was appended since the one before it."""

    def __init__(self, run: RunDir, *, metrics: bool = True) -> None:
        """`metrics`: whether metrics.jsonl is read too."""
        self._events: EventReader[Event] = EventReader(run.events)
        self._lines = MetricsReader(run.metrics) if metrics else None
        self._history = History()

    def read(self) -> History:
        """The history so far. Each call returns the same, updated object, so a caller must not keep it as a value."""
        events = self._events.read()
        if self._events.restarted:
            self._history.events.clear()
        self._history.events += events
        if self._lines is not None:
            for lines in self._lines.pieces():
                if self._lines.restarted:
                    self._history.course = Course()
                for line in lines:
                    self._history.course.add(line)
        self._history.damaged = {
            reader.path.name: reader.damaged
            for reader in (self._events, self._lines)
            if reader and reader.damaged
        }
        return self._history


def read_history(run: RunDir) -> History:
    """The run's history so far."""
    return HistoryReader(run).read()
