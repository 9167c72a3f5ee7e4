"""Trackio: a database in the run dir, which `sync` sends to a Space later. Ranks never contact a hub, so runs stay local."""

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from launcher.environment import Variable
from launcher.packages import Package
from launcher.trackers.base import Number, Tracked, Tracker, TrackingStart
from launcher.trackers.host import PROBE_S, answers

_ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID")
"""Variables that would make trackio send during training; only `sync` sends."""
_LIMIT_S, _SHOWN = 3600, 300
_SYNC = "import sys; from trackio.deploy import sync_incremental; sync_incremental(sys.argv[1], sys.argv[2])"
"""This code adds rows to a Space, whereas `trackio sync` may replace the project's database and so delete other runs."""


class Trackio(Tracker):
    """Trackio, through its own run object."""

    says: ClassVar[str] = (
        "Trackio's database in the run dir's `trackio/`; `TRACKIO_DIR=RUN_DIR/trackio trackio show`"
    )
    offline: ClassVar[str] = "always; `sync` sends to the Space `TRACKIO_SPACE_ID`"
    environment: ClassVar[tuple[Variable, ...]] = (  # trackio 0.43, utils.py
        Variable(
            name="TRACKIO_DIR",
            meaning="Folder of Trackio's databases: trackio/ in the run dir.",
            set_by="rank, sync",
            read_by="trackio",
        ),
        Variable(
            name="TRACKIO_SPACE_ID",
            meaning="Space to which `sync` sends. Ranks do not get it.",
            set_by="a person",
            read_by="sync",
        ),
        Variable(
            name="TRACKIO_SERVER_URL",
            meaning="Address of a Trackio server. Ranks do not get it.",
            set_by="a person",
            read_by="trackio",
        ),
        Variable(
            name="TRACKIO_BUCKET_ID",
            meaning="Bucket of a Space. Ranks do not get it.",
            set_by="a person",
            read_by="trackio",
        ),
        Variable(
            name="TRACKIO_WRITE_TOKEN",
            meaning="Secret: a token for a Trackio server. Jobs inherit it; it is never written to a file.",
            set_by="a person",
            read_by="trackio",
        ),
    )
    packages: ClassVar[tuple[Package, ...]] = (
        Package(module="trackio", name="trackio", install="pip install trackio==0.43.0"),
    )
    secrets: ClassVar[tuple[str, ...]] = ("HF_TOKEN", "TRACKIO_WRITE_TOKEN")

    def open(self, run: Tracked, environ: Mapping[str, str]) -> "_TrackioLog":
        """The log in the database of the run dir."""
        os.environ["TRACKIO_DIR"] = str(run.folder / "trackio")  # trackio reads it on import
        for name in _ELSEWHERE:
            os.environ.pop(name, None)
        return _TrackioLog(run)

    def unsent(self, folder: Path) -> list[Path]:
        """Databases that have changed since they were sent."""
        found = sorted((folder / "trackio").glob("*.db"))
        return [one for one in found if not _sent(one).is_file() or _sent(one).read_text() != _state(one)]

    def why_unsendable(self, environ: Mapping[str, str]) -> str | None:
        """The reason: no Space is set, no token is set, or the hub does not answer; None if sending is possible."""
        if not environ.get("TRACKIO_SPACE_ID"):
            return "there is no TRACKIO_SPACE_ID; set it in your shell, such as me/trackio"
        if not environ.get("HF_TOKEN"):
            return "there is no HF_TOKEN; set it in your shell"
        hub = (environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        return (
            None
            if answers(hub)
            else f"{hub} did not answer within {PROBE_S:g} s; run it on a machine that reaches the hub"
        )

    def send(self, folder: Path, files: list[Path], environ: Mapping[str, str]) -> str | None:
        """The error, or None once the rows are in the Space. Trackio reads its folder from the environment only once, so this
        runs in a separate process."""
        own = {"TRACKIO_DIR": str(folder / "trackio")}
        kept = {name: value for name, value in environ.items() if name != "HF_HUB_OFFLINE"}
        for file in files:
            command = [sys.executable, "-c", _SYNC, file.stem, environ["TRACKIO_SPACE_ID"]]
            try:
                done = subprocess.run(
                    command, env={**kept, **own}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return f"it took more than {_LIMIT_S} s"
            if done.returncode:
                output = f"{done.stdout}\n{done.stderr}".strip().splitlines()
                return (output[-1] if output else "trackio failed")[:_SHOWN]
            _sent(file).write_text(_state(file))
        return None


class _TrackioLog:
    """The log of a trackio run."""

    def __init__(self, run: Tracked) -> None:
        trackio: Any = import_module("trackio")
        self.started = TrackingStart(mode="offline", why="trackio is local while a run trains", id=run.id)
        self._run = trackio.init(
            project=run.project,
            name=run.name.replace("/", "_"),
            group=run.group,
            resume="allow",
            config={name: value for name, value in run.settings.items() if not name.startswith("_")},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def write(self, step: int, values: Mapping[str, Number], time_s: float) -> None:
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        self._run.finish()


def _sent(database: Path) -> Path:
    return database.with_suffix(".sent")


def _state(database: Path) -> str:
    """A text that changes whenever the database changes."""
    facts = database.stat()
    return f"{facts.st_size} {facts.st_mtime_ns}\n"


SPEC = Trackio()
