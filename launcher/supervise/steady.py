"""The run dir of a supervisor, which survives some minutes without an answer of the file system, and says so."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from launcher.errors import DISK_FULL, AlreadyRunning, RunError
from launcher.masking import mask_all
from launcher.output import say
from launcher.run import RunDir, append_line, now
from launcher.run.events import Event

T = TypeVar("T")

_GIVE_UP_S = 600.0
"""Seconds of failed writes or reads after which the supervisor gives up."""
_AGAIN_S = 0.5


class Fenced(AlreadyRunning):
    """Another supervisor has the lease of the run dir, so that this one must write nothing."""


@dataclass(frozen=True, slots=True)
class SteadyRun(RunDir):
    """A run dir whose events wait in memory while they cannot be written. A full disk is an error at once, as elsewhere."""

    guards: list[Callable[[], bool]] = field(default_factory=list[Callable[[], bool]])
    """Functions that say whether this process may write, asked before each event: it can have been stopped for any time."""

    waiting: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Lines that could not be written yet, the oldest first, with the time at which they were noted."""
    failed: list[float] = field(default_factory=list[float])
    """time.monotonic() of the first failed write; empty if the newest one succeeded."""

    def note(self, event: Event) -> None:
        """The same as RunDir.note; an event that cannot be written now waits for the next one, or for `settle`. Fenced if this
        process may no longer write."""
        if not all(guard() for guard in self.guards):
            self.waiting.clear()
            raise Fenced(f"another supervisor has taken the lease of {self.path}; this one writes nothing")
        self.waiting.append(mask_all(event.line(now())))
        self.write_waiting()

    def write_waiting(self) -> None:
        """Writes what waits; OSError once that has failed for too long."""
        try:
            while self.waiting:
                append_line(self.events, self.waiting[0])
                del self.waiting[0]
        except OSError as error:
            if error.errno in DISK_FULL or (self.failed and time.monotonic() - self.failed[0] > _GIVE_UP_S):
                raise
            if not self.failed:
                self.failed.append(time.monotonic())
                _tell(
                    f"{self.events} cannot be written ({error.strerror}); the run goes on, and events wait in memory"
                )
            return
        if self.failed:
            _tell(f"{self.events} can be written again, after {time.monotonic() - self.failed[0]:.0f} s")
            self.failed.clear()

    def settle(self) -> None:
        """Returns once nothing waits; OSError after some minutes."""
        while self.waiting:
            self.write_waiting()
            if self.waiting:
                time.sleep(_AGAIN_S)

    def read_events(self, *kinds: type[Any]) -> list[Any]:
        """The same as RunDir.read_events, with the events that wait."""
        self.settle()
        return steadily(lambda: RunDir.read_events(self, *kinds))


def steadily(read: Callable[[], T]) -> T:
    """What `read` returns; it is called again while the file system does not answer, for some minutes."""
    begun, told = time.monotonic(), False
    while True:
        try:
            return read()
        except (OSError, RunError) as error:  # RunError: something else has the place of the file for now
            if time.monotonic() - begun > _GIVE_UP_S:
                raise
            if not told:
                _tell(f"the run dir cannot be read ({error}); trying again")
            told = True
            time.sleep(_AGAIN_S)


def _tell(text: str) -> None:
    say(str(text))
