"""What a tracker says of itself and does for a run. Its module holds an instance of a subclass under the name SPEC."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from launcher.packages import Package

Number = float | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What a tracker is told of a run on rank 0."""

    folder: Path
    """The run dir. A tracker keeps its files below it, in a folder of its own."""
    name: str
    id: str
    """The same for all attempts of a run, and of no other run: 16 hexadecimal digits."""
    group: str | None
    """The sweep that the run is a trial of."""
    project: str
    """tracker.project."""
    attempt: int
    settings: Mapping[str, str | Number | bool]
    """The trainer's arguments that are plain values, and the names of model and trainer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """How tracking began; the event `tracking` tells it."""

    mode: str
    """online, offline, or a mode of the tracker's own."""
    why: str | None = None
    """Why nothing is sent during the run; None where it is."""
    id: str | None = None
    """The run's identity at the tracker."""


class Log(Protocol):
    """A run that is being tracked. All of its methods are called in one thread, which is not the training's."""

    started: Started

    def write(self, step: int, values: Mapping[str, Number], time_s: float) -> None:
        """Adds values of a step; `time_s` is when they were logged, in seconds since 1970."""
        ...

    def finish(self) -> None:
        """Writes out what is still held back, at the end of the run."""
        ...


class Tracker:
    """One tracker. Training never waits for it, and nothing that it raises ends a run.

    Either `report_to` names a callback of transformers, which then logs: override `prepare` and `finish`. Or `report_to` is
    None: override `open`, which is called in a thread of its own and may take its time.
    """

    says: ClassVar[str]
    """Where the metrics go, in one line of documentation."""
    offline: ClassVar[str] = "always"
    """When it writes only into the run dir, in one line of documentation."""
    packages: ClassVar[tuple[Package, ...]] = ()
    """What the ranks import for it."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """Variables with its secrets. Jobs inherit them; they are written to no file."""
    report_to: ClassVar[str | None] = None
    """Its name in transformers' report_to."""

    def variables(self, project: str) -> dict[str, str]:
        """Environment of every rank, which the plan holds; no secrets."""
        return {}

    def prepare(self, run: Tracked, environ: dict[str, str]) -> Started | None:
        """Sets the environment of transformers' callback and starts what it goes on with, on rank 0 and in a bounded time.

        What to tell of it; None: nothing.
        """
        return None

    def finish(self) -> None:
        """Writes out what is still held back, after training, on rank 0."""

    def open(self, run: Tracked, environ: Mapping[str, str]) -> Log:
        """The log of a run, on rank 0; goes on with the log of the run's earlier attempts."""
        raise NotImplementedError

    def unsent(self, folder: Path) -> list[Path]:
        """What attempts of the run in this folder have written and nobody has sent yet, oldest first. Imports nothing."""
        return []

    def why_unsendable(self, environ: Mapping[str, str]) -> str | None:
        """Why nothing can be sent from here, and after a semicolon the way out; None where it can."""
        return None

    def send(self, folder: Path, files: list[Path], environ: Mapping[str, str]) -> str | None:
        """Sends what `unsent` has found; the error in one line, None once all is sent."""
        return None
