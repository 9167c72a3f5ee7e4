"""What all events have in common, how one becomes a line of events.jsonl, and the words for the end of an attempt."""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar

from launcher.run.record import EMPTY, Record

VERSION = 1
"""Version of the schema, in every line as "v". Each line says which version wrote it, because hosts with different versions of
this program may append to one file. It is raised when a field changes its meaning; a new kind or field does not raise it. Lines
without "v" are older than the schema and read as version 1."""

_SHARED = ("attempt", "time", "more")


class How(Enum):
    """How an attempt of the ranks ended."""

    FINISHED = "finished"
    CRASHED = "crashed"
    """A rank ended with an exit code, or by a signal that the launcher did not send."""
    HUNG = "hung"
    """A rank made no progress for too long."""
    LOST = "lost"
    """A node no longer answers."""
    SHUT_DOWN = "shut_down"
    """The ranks saved and ended because they were ordered to shut down. Launchers before 0.2 wrote `left`."""
    CUT = "cut"
    """The ranks were ended before they could save, because the supervisor had to end."""
    FENCED = "fenced"
    """Ended because another supervisor has the run's lease."""


class StopReason(Enum):
    """Why the supervisor had to end."""

    NOTHING = "nothing"
    TIME_LIMIT = "time limit"
    PREEMPTED = "pre-empted"
    """The scheduler queues the job again by itself."""
    ASKED = "asked to shut down"
    """Only a signal came, and the job still runs: by hand, or because the cluster will want its nodes back."""
    SCRIPT_ENDED = "the job script has ended"
    """The job ends although nobody has cancelled it: its script was killed, or was lost with its host."""
    CANCELLED = "cancelled"
    PRUNED = "pruned"
    """The sweep's pruner ended the trial, because it is not among the promising ones."""


class Event(Record):
    """Something that happened to a run.

    A field whose default is None may be missing in the line: older versions did not write it, or it does not apply.
    """

    KIND: ClassVar[str] = ""
    """The name in the file, under "event": the class's name in snake case."""

    attempt: int
    """The attempt in which it happened, counted from 1; 0 before the first."""
    time: str = ""
    """When it was written: UTC, ISO 8601, with milliseconds. Empty in an event that is not written yet."""
    more: Mapping[str, Any] = EMPTY
    """Fields that this version does not know, by name."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.KIND = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def renewed(cls, own: dict[str, Any]) -> dict[str, Any]:
        """The kind's own fields of a line, with the words of this version instead of those of earlier ones."""
        return own

    @property
    def kind(self) -> str:
        """The name of its kind in the file."""
        return self.KIND

    def values(self, *, nulls: bool = False) -> dict[str, Any]:
        """Time, event, attempt and the kind's own fields; `nulls`: also optional fields that are None."""
        own = {
            name: value
            for name in self.FIELDS
            if name not in _SHARED
            if (value := getattr(self, name)) is not None or nulls or name in self.REQUIRED
        }
        return {"time": self.time, "event": self.kind, "attempt": self.attempt, **own, **self.more}

    def in_attempt(self, attempt: int) -> "Event":
        """The same event of another attempt, which is not written yet."""
        own = {name: getattr(self, name) for name in self.FIELDS if name not in ("attempt", "time")}
        return type(self)(attempt=attempt, **own)

    def line(self, time: str) -> dict[str, Any]:
        """The line to write, at that time."""
        return {**self.values(), "time": time, "v": VERSION}


class Other(Event):
    """An event of a kind that this version does not know, as a plugin or a newer version writes it, or whose line lacks a
    field that its kind needs. `more` has all of its fields."""

    name: str
    """Its kind."""

    @property
    def kind(self) -> str:
        """The name of its kind in the file."""
        return self.name

    def values(self, *, nulls: bool = False) -> dict[str, Any]:
        """Time, event, attempt and all other fields of the line."""
        return {"time": self.time, "event": self.name, "attempt": self.attempt, **self.more}
