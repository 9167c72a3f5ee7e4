"""The record of a run or a sweep that is on a cluster reached by ssh: remote.json, in the folder that stands for it here."""

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from launcher.errors import Elsewhere, RunError
from launcher.reading import read_json
from launcher.run.lines import write_text
from launcher.run.owner import other_owner
from launcher.run.scan import REMOTE, scan

_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
DESTINATION = re.compile(rf"(?:{_HOST}@)?{_HOST}|ssh://(?:{_HOST}@)?{_HOST}(?::\d{{1,5}})?")
"""Matches a value of cluster.ssh: no option of ssh, and without special characters of a shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """Where a run is, and how the launcher is called there."""

    ssh: str
    """The value of cluster.ssh."""
    python: str
    """Python interpreter on the login node, as cluster.python of the launch names it."""
    base: str
    """Absolute path of cluster.ssh_dir there."""
    path: tuple[str, ...]
    """Folders there from which the launcher is imported."""
    run: str
    """name/date_time; name/sweep_date_time of a sweep."""
    run_dir: str
    """Absolute path of its folder there."""
    dry_run: bool = False
    """Whether it was only written."""

    @property
    def is_sweep(self) -> bool:
        """Whether it is a sweep."""
        return _is_sweep(Path(self.run))

    def trial(self, name: str) -> "RemoteRun":
        """A trial of the sweep."""
        return replace(self, run=f"{self.run}/{name}", run_dir=f"{self.run_dir}/{name}")


class RunElsewhere(Elsewhere):
    """A reference that means such a run."""

    def __init__(self, folder: Path, remote: RemoteRun) -> None:
        super().__init__(
            f"{remote.run} is on {remote.ssh}, and this command works only with a run on this machine; bring its results here "
            f"with python -m launcher fetch {remote.run}, or log in there"
        )
        self.folder, self.remote = folder, remote


def write_remote(folder: Path, remote: RemoteRun) -> None:
    """Writes the record."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / REMOTE, json.dumps(asdict(remote), indent=2) + "\n")


def read_remote(folder: Path) -> RemoteRun | None:
    """The record in a folder; None if there is none. RunError if the file is not a record."""
    file = folder / REMOTE
    if not file.is_file():
        return None
    try:
        values = dict(read_json(file))
        path: tuple[str, ...] = tuple(values.pop("path"))
        remote = RemoteRun(path=path, **values)
        texts: list[Any] = [remote.ssh, remote.python, remote.base, *remote.path, remote.run, remote.run_dir]
        if any(not isinstance(text, str) for text in texts):
            raise TypeError("a value is not a text")
        dry_run: Any = remote.dry_run
        if not isinstance(dry_run, bool):
            raise TypeError("dry_run is neither true nor false")
        if not DESTINATION.fullmatch(remote.ssh):
            raise ValueError(f"{remote.ssh} is not a destination of ssh")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{file} is not the record of a run on a cluster ({error}); was it edited?") from None
    if other := other_owner([folder, file]):
        raise RunError(
            f"{other[0]} belongs to {other[1]}, who would choose where you log in; log in to the cluster by hand"
        )
    return remote


def list_remote(runs_dir: Path) -> list[Path]:
    """The folders of all such runs and sweeps, oldest first."""
    _, there = scan(str(runs_dir))
    return [Path(one.folder) for one in there]


def _is_sweep(folder: Path) -> bool:
    return folder.name.startswith("sweep_")


def refuse_remote_folder(runs_dir: Path, reference: str | None) -> None:
    """Raises RunElsewhere if the reference is the folder of a run on a cluster, of a sweep or of a trial of it: as a path or
    as name/date_time."""
    for folder in (Path(reference), runs_dir / reference) if reference else ():
        if remote := read_remote(folder):
            raise RunElsewhere(folder.resolve(), remote)
        if _is_sweep(folder.parent) and (sweep := read_remote(folder.parent)):
            raise RunElsewhere(folder.resolve(), sweep.trial(folder.name))


def remote_named(runs_dir: Path, reference: str | None, *, sweeps: bool = False) -> list[Path]:
    """The folders of the runs on a cluster of that name, or of all for None, oldest first; with `sweeps`, of the sweeps."""
    parts = Path(reference or "").parts
    return [
        one
        for one in list_remote(runs_dir)
        if _is_sweep(one) is sweeps and one.relative_to(runs_dir).parts[: len(parts)] == parts
    ]


def refuse_remote_name(
    runs_dir: Path, reference: str | None, newest_here: Path | None, *, sweeps: bool = False
) -> None:
    """Raises RunElsewhere if the newest run of a name, or of all for None, is on a cluster; with `sweeps`, the newest sweep.
    `newest_here` is the plan.json or sweep.json of the newest one of this machine, if there is one."""
    there = remote_named(runs_dir, reference, sweeps=sweeps)
    if not there:
        return
    newest = there[-1]
    if newest_here is None or (newest / REMOTE).stat().st_mtime_ns > newest_here.stat().st_mtime_ns:
        remote = read_remote(newest)
        assert remote is not None
        raise RunElsewhere(newest, remote)
