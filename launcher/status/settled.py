"""The statuses of runs that are over for good, kept in runs_dir, so that a list reads only the runs that have changed."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, cast, get_args

from launcher import __version__
from launcher.clusters.base import RunState
from launcher.output import plain
from launcher.reading import object_in
from launcher.run import RunDir
from launcher.run.kinds import fits
from launcher.run.lines import write_text
from launcher.status.run_status import Status

_FILE = ".settled.json"
_GROW = ("events.jsonl", "metrics.jsonl")
"""The files from which a status is made and to which lines are appended. Replacing any other one changes the folder's time."""
_INTENT = "intent.json"
_KINDS: Mapping[str, Any] = {
    "run": str, "state": str, "step": int | None, "total_steps": int | None, "loss": float | None, "job_id": str | None,
    "insurance": str | None,
    "damaged": Mapping[str, int],
}  # fmt: skip
"""Types of what a list shows of a status."""
_PLAIN = {
    name: frozenset(one for one in (kind, *get_args(kind)) if one in (str, int, float, NoneType))
    for name, kind in _KINDS.items()
}
"""The types of JSON values that need no further look."""
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
        stamp = _stamp(run)
        entry = self._kept.get(self._key(run))
        kept = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        status = kept.get("status")
        if not stamp or kept.get("stamp") != stamp or not isinstance(status, dict):
            # what is read while a job is being submitted is not kept
            self._stamps[run.path] = "" if os.path.lexists(f"{run.path}/{_INTENT}") else stamp
            return None
        self._stamps[run.path] = stamp
        values = cast("dict[str, Any]", status)
        if [*values] != _FIELDS or values["state"] not in _SETTLED:
            return None
        odd = {name: values[name] for name, plain in _PLAIN.items() if type(values[name]) not in plain}
        return values if fits(odd, _KINDS) else None

    def keep(self, statuses: Mapping[RunDir, Status]) -> None:
        """Keeps the statuses of runs that are over for good; `find` must have been called before each was read. If the folder
        cannot be written, nothing is kept."""
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
    """Changes if one of the files does; empty for a folder that is gone."""
    folder = str(run.path)
    try:
        facts = os.stat(folder)  # noqa: PTH116 - a Path for each costs time
        marks = [f"{facts.st_mtime_ns} {facts.st_ino}"]
    except OSError:
        return ""
    for name in _GROW:
        try:
            facts = os.stat(f"{folder}/{name}")  # noqa: PTH116
            marks.append(f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}")
        except OSError:
            marks.append("-")
    return ", ".join(marks)
