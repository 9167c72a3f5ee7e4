"""The results of a run on a cluster, brought to the machine from which it was launched."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from launcher.errors import ClusterError, RunError
from launcher.output import say
from launcher.remote.connection import connect
from launcher.remote.send import Progress
from launcher.remote.talk import Talk, ask, lost, talk
from launcher.run.record import is_kind
from launcher.run.remote import RunElsewhere
from launcher.run.scan import REMOTE
from launcher.units import plural, size

_PIECE = 1 << 20
_LISTED: Mapping[str, Any] = {"files": Sequence[Any]}
_GIVEN: Mapping[str, Any] = {"sha": str | None}
_LARGE = ("checkpoints", "code")
"""Folders of a run dir that are not results: what a resume reads, and the archives of its code."""


class FetchedRun(TypedDict):
    """The files of a run that were brought here from a cluster."""

    run: str
    """name/date_time."""
    run_dir: str
    """Absolute path of its folder here."""
    files: int
    """Number of files that were fetched."""
    bytes: int
    """Size of these files."""
    kept: list[str]
    """Paths of files that were not fetched, because the file here is newer or is not a plain file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A file on the cluster that is not here yet."""

    name: str
    size: int
    changed_ns: int
    target: Path

    @property
    def part(self) -> Path:
        """The file with the part of this version that has arrived."""
        return self.target.with_name(f".{self.target.name}.{self.changed_ns}-{self.size}.part")

    @property
    def begun(self) -> int:
        """Bytes that have arrived."""
        return self.part.stat().st_size if self.part.is_file() else 0


def bring(away: RunElsewhere, *, checkpoints: bool) -> FetchedRun:
    """What was fetched into the folder that stands for the run. An interrupted transfer continues where it ended; a file that
    is newer here stays. ClusterError if the connection is lost, or a file is damaged in transfer."""
    remote, folder = away.remote, away.folder
    connection = connect(remote.ssh)
    without, depth = [] if checkpoints else list(_LARGE), 1 if remote.is_sweep else 0
    request = {"do": "find", "run_dir": remote.run_dir, "without": without, "depth": depth}
    listed: list[Any] = ask(connection, remote.python, request, _LISTED)["files"]
    kept: list[str] = []
    if not all(is_kind(one, Sequence[Any]) and _is_listed(one) for one in listed):
        raise ClusterError(f"cluster.ssh={remote.ssh}: the answer is not from the launcher; log in and check")
    wanted = [
        one for name, length, changed in listed if (one := _wanted(folder, name, length, changed, kept))
    ]
    total = sum(one.size - one.begun for one in wanted)
    if wanted:
        say(f"fetching {plural(len(wanted), 'file')}, {size(total)}, from {remote.ssh}")
        files = [(one.name, one.begun, one.size) for one in wanted]
        with talk(
            connection, remote.python, {"do": "give", "run_dir": remote.run_dir, "files": files}
        ) as giving:
            progress = Progress(total)
            gone = [one.name for one in wanted if not _receive(giving, one, progress)]
        for name in gone:
            say(f"{name} was not fetched: on the cluster it is gone, became shorter, or cannot be read")
        wanted = [one for one in wanted if one.name not in gone]
    return {
        "run": remote.run,
        "run_dir": str(folder),
        "files": len(wanted),
        "bytes": sum(one.size for one in wanted),
        "kept": kept,
    }


def _is_listed(one: Sequence[Any]) -> bool:
    """Whether it is a path, a size and a modification time."""
    return len(one) == 3 and isinstance(one[0], str) and all(is_kind(number, int) for number in one[1:])


def _wanted(folder: Path, name: str, length: int, changed: int, kept: list[str]) -> _Wanted | None:
    """The file if it must be fetched; a file that is newer here is added to `kept`."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or str(path) == REMOTE or length < 0:
        raise RunError(f"{name[:200]!r} is not a path in a run dir; nothing was fetched")
    if not name.isprintable():
        say(f"{name[:200]!a} was not fetched: its name has characters that cannot be printed")
        return None
    target = folder / path
    if target.is_symlink() or (target.exists() and not target.is_file()):
        kept.append(name)
        return None
    if target.exists():
        status = target.stat()
        if (status.st_size, status.st_mtime_ns) == (length, changed):
            return None
        if status.st_mtime_ns > changed:
            kept.append(name)
            return None
    return _Wanted(name=name, size=length, changed_ns=changed, target=target)


def _receive(giving: Talk, one: _Wanted, progress: Progress) -> bool:
    """True once the file is here; False if the cluster cannot send it: it is gone, became shorter, or cannot be read."""
    sha = giving.answer(_GIVEN)["sha"]
    if sha is None:
        return False
    one.target.parent.mkdir(parents=True, exist_ok=True)
    for old in _parts(one.target):
        if old != one.part:
            old.unlink()  # a part of an earlier version
    left = one.size - one.begun
    with one.part.open("ab") as file:
        while left:
            piece = giving.receive.read(min(_PIECE, left))
            if not piece:
                raise lost(giving.ssh)
            file.write(piece)
            left -= len(piece)
            progress.add(len(piece))
    with one.part.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != sha:
        one.part.unlink()
        raise ClusterError(f"{one.name} changed while it was fetched; repeat the command")
    os.utime(one.part, ns=(one.changed_ns, one.changed_ns))
    one.part.replace(one.target)
    return True


def _parts(target: Path) -> Iterator[Path]:
    start = f".{target.name}."
    return (
        path
        for path in target.parent.iterdir()
        if path.name.startswith(start) and path.name.endswith(".part")
    )
