"""The history of a run by its files, read once and then only as far as they have grown."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from launcher.run.course import Course
from launcher.run.dir import RunDir
from launcher.run.events import Event, EventReader
from launcher.run.long_course import LARGE, LongCourse
from launcher.run.metrics import Line, MetricsReader

E = TypeVar("E", bound=Event)


@dataclass(slots=True, kw_only=True)
class History:
    """Events and the course of training so far."""

    events: list[Event] = field(default_factory=list[Event])
    """Oldest first."""
    course: Course | LongCourse = field(default_factory=Course)
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

    def __init__(self, run: RunDir, *, metrics: bool = True, whole: bool = True) -> None:
        """`metrics`: whether metrics.jsonl is read too; `whole`: whether all its lines are parsed, however many they are."""
        self._events: EventReader[Event] = EventReader(run.events)
        self._lines = MetricsReader(run.metrics) if metrics else None
        self._metrics = run.metrics if metrics and not whole else None
        self._history = History()

    def read(self) -> History:
        """The history so far. Each call returns the same, updated object, so a caller must not keep it as a value."""
        events = self._events.read()
        if self._events.restarted:
            self._history.events.clear()
        self._history.events += events
        torn = self._read_where_needed() if self._metrics else None
        if torn is None:
            torn = self._read_lines()
        damaged = {"events.jsonl": self._events.damaged, "metrics.jsonl": torn}
        self._history.damaged = {name: count for name, count in damaged.items() if count}
        return self._history

    def _read_lines(self) -> int:
        """Adds the new lines of metrics.jsonl to the course; the number of damaged ones so far."""
        if self._lines is None:
            return 0
        for lines in self._lines.pieces():
            course = self._history.course
            if self._lines.restarted or isinstance(course, LongCourse):
                self._history.course = course = Course()
            for line in lines:
                course.add(line)
        return self._lines.damaged

    def _read_where_needed(self) -> int | None:
        """Updates the course of a large file, which is not parsed as a whole; None for a small one."""
        path, course = self._metrics, self._history.course
        if path is None or (isinstance(course, Course) and course.last is not None):
            return None
        if isinstance(course, LongCourse) and course.grow():
            return course.damaged
        try:
            if path.stat().st_size < LARGE:
                return None
        except FileNotFoundError:
            return None
        self._history.course = course = LongCourse(path)
        return course.damaged


def read_history(run: RunDir, *, whole: bool = True) -> History:
    """The run's history so far; `whole` as in HistoryReader."""
    return HistoryReader(run, whole=whole).read()
