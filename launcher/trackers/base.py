"""The specification of a tracker. The module of a tracker holds an instance of a subclass of Tracker under the name SPEC."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from launcher.environment import Variable
from launcher.frozen_dataclass import frozen_dataclass
from launcher.packages import Package

Number = float | int


@frozen_dataclass
class Tracked:
    """The facts about a run that a tracker receives on rank 0."""

    folder: Path
    """The run dir. A tracker keeps its files below it, in a folder of its own."""
    name: str
    id: str
    """16 hexadecimal digits, the same for all attempts of a run, and unique to the run."""
    group: str | None
    """The sweep of which the run is a trial; None for other runs."""
    project: str
    """tracker.project."""
    attempt: int
    settings: Mapping[str, str | Number | bool]
    """The trainer's arguments that are plain values, and the names of model and trainer."""


@frozen_dataclass
class TrackingStart:
    """How tracking began, as written to the event `tracking`."""

    mode: str
    """online, offline, or a mode of the tracker's own."""
    why: str | None = None
    """The reason why nothing is sent during the run; None if metrics are sent."""
    id: str | None = None
    """The run's identity at the tracker."""


class Log(Protocol):
    """A run that is being tracked. All of its methods are called in one thread, which is not the training thread."""

    started: TrackingStart

    def write(self, step: int, values: Mapping[str, Number], time_s: float) -> None:
        """Adds values of a step; `time_s` is the time at which they were logged, in seconds since 1970."""
        ...

    def finish(self) -> None:
        """Flushes buffered values at the end of the run."""
        ...


class Tracker:
    """One tracker. Training never waits for it, and its errors never end a run.

    If `report_to` names a callback of transformers, that callback logs: override `prepare` and `finish`. If `report_to` is
    None, override `open`, which is called in a separate thread and may be slow.
    """

    says: ClassVar[str]
    """Where the metrics go, in one line of documentation."""
    offline: ClassVar[str] = "always"
    """When it writes only into the run dir, in one line of documentation."""
    packages: ClassVar[tuple[Package, ...]] = ()
    """Packages that the ranks import for it."""
    environment: ClassVar[tuple[Variable, ...]] = ()
    """Environment variables that it sets or reads. A package of its own need not list them."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """Environment variables with its secrets. Jobs inherit them; they are never written to a file."""
    report_to: ClassVar[str | None] = None
    """Its name in transformers' report_to."""
    several_runs: ClassVar[bool] = False
    """Whether one process can log several runs at once."""

    def variables(self, project: str) -> dict[str, str]:
        """Environment variables of every rank, without secrets, as the plan contains them."""
        return {}

    def prepare(self, run: Tracked, environ: dict[str, str]) -> TrackingStart | None:
        """How tracking began, or None to report nothing. Called on rank 0.

        It sets the environment of transformers' callback and may start the tracker's run, within a bounded time.
        """
        return None

    def finish(self) -> None:
        """Flushes buffered values after training, on rank 0."""

    def open(self, run: Tracked, environ: Mapping[str, str]) -> Log:
        """The log of a run, on rank 0; it continues the log of the run's earlier attempts."""
        raise NotImplementedError

    def add_figures(
        self, run: Tracked, step: int, values: Mapping[str, Number], environ: Mapping[str, str]
    ) -> str | None:
        """Adds values of a step from a process that is not a rank. Returns where they are, in a few words; None if not added.

        The ranks may log at the same time, or have ended. It may be slow, and raise anything.
        """
        log = self.open(run, environ)
        log.write(step, values, time.time())
        log.finish()
        return "in the run dir" if log.started.mode == "offline" else "at the tracker"

    def unsent(self, folder: Path) -> list[Path]:
        """Files of the run in this folder that have not been sent yet, oldest first. It imports no package."""
        return []

    def why_unsendable(self, environ: Mapping[str, str]) -> str | None:
        """The reason why nothing can be sent from here and, after a semicolon, the way out; None if sending is possible."""
        return None

    def send(self, folder: Path, files: list[Path], environ: Mapping[str, str]) -> str | None:
        """The error in one line, or None once all files that `unsent` has found are sent."""
        return None
