"""The statuses of runs that are over for good, kept in runs_dir, so that a list reads only the runs that have changed."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from launcher import __version__
from launcher.clusters.base import RunState
from launcher.output import plain
from launcher.reading import object_in
from launcher.run import RunDir
from launcher.run.kinds import fits
from launcher.run.lines import write_text
from launcher.status.run_status import Status

_FILE = ".settled.json"
_MADE_OF = ("plan.json", "job.json", "events.jsonl", "metrics.jsonl")
"""The files of a run dir that a status is made of."""
_INTENT = "intent.json"
_KINDS: Mapping[str, Any] = {
    "run": str, "state": str, "step": int | None, "total_steps": int | None, "loss": float | None, "job_id": str | None,
    "damaged": Mapping[str, int],
}  # fmt: skip
"""Types of what a list shows of a status."""
_SETTLED = (RunState.FINISHED.value, RunState.PRUNED.value)
_FIELDS = [field.name for field in dataclasses.fields(Status)]


class SettledStatuses:
    """The kept statuses of one runs_dir. A run has one as long as no file that it was made of has changed."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir, self._file = runs_dir, runs_dir / _FILE
        self._cut = len(str(runs_dir)) + 1
        self._stamps: dict[Path, str] = {}
        found = object_in(self._file) or {}
        current = found.get("of") == self._of() and isinstance(found.get("runs"), dict)
        self._kept: dict[str, Any] = found["runs"] if current else {}

    def find(self, run: RunDir) -> Mapping[str, Any] | None:
        """The status, as --json prints it; None if none is kept, or the run dir has changed."""
        self._stamps[run.path] = stamp = _stamp(run)
        entry = self._kept.get(self._key(run))
        if not isinstance(entry, dict):
            return None
        kept, status = cast("dict[str, Any]", entry), cast("dict[str, Any]", entry).get("status")
        if not stamp or kept.get("stamp") != stamp or not fits(status, _KINDS):
            return None
        values = cast("dict[str, Any]", status)
        return values if [*values] == _FIELDS and values["state"] in _SETTLED else None

    def keep(self, statuses: Mapping[RunDir, Status]) -> None:
        """Keeps those that are over for good, for runs that were looked for before they were read. It is done without if the
        folder cannot be written."""
        new = {
            self._key(run): {"stamp": self._stamps[run.path], "status": plain(status)}
            for run, status in statuses.items()
            if status.state.value in _SETTLED and self._stamps[run.path]
        }
        seen = {self._key(RunDir(path)) for path in self._stamps}
        kept = {key: entry for key, entry in self._kept.items() if key in seen} | new
        if not new and len(kept) == len(self._kept):
            return
        with contextlib.suppress(OSError):
            write_text(self._file, json.dumps({"of": self._of(), "runs": kept}) + "\n")

    def _key(self, run: RunDir) -> str:
        return str(run.path)[self._cut :]

    def _of(self) -> list[str]:
        """What the file is for: a folder that was moved, and another version of the launcher, begin a new one."""
        return [__version__, str(self._runs_dir)]


def _stamp(run: RunDir) -> str:
    """Changes if one of the files does; empty while a job is being submitted."""
    folder, marks = str(run.path), list[str]()
    for name in _MADE_OF:
        try:
            facts = os.stat(f"{folder}/{name}")  # noqa: PTH116 - a Path for each costs time
            marks.append(f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}")
        except OSError:
            marks.append("-")
    return "" if os.path.lexists(f"{folder}/{_INTENT}") else ", ".join(marks)
