"""What was sent to a cluster and is no longer needed: it is found and removed there, below cluster.ssh_dir/sent.

A folder is needed if a run dir or the record of its launch names it, or if it was sent or used a short time ago. The search
runs after a launch by ssh, once a day, and in `remove --sent`.
"""

import os
import re
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from launcher.errors import RunError
from launcher.output import say
from launcher.reading import object_in
from launcher.units import plural, size

KEPT_S = 14 * 86_400.0
"""Seconds for which a launch leaves in place what no run needs, so that a repeated launch does not send it again."""
SETTLED_S = 86_400.0
"""Seconds for which everything is left in place: a launch that sends it may still be going on."""
_EVERY_S = 86_400.0
"""Seconds from one automatic removal to the next, since it reads the records of all runs."""
_SENT = re.compile(rb"sent/((?:code|data)/[0-9a-f]{40})")
_FOLDER = re.compile(r"[0-9a-f]{40}|\..+")
"""A folder that was sent, or one that an interrupted launch has made in part."""
_RECORDS = ("config.yaml", "plan.json", "code.json", "job.sbatch", "node.sh", "sweep.json")
"""Files of a run dir and of a sweep that name what they need."""
_Inode = tuple[int, int]


class SentRemoved(TypedDict):
    """What was removed of what launches by ssh have sent to a cluster."""

    folders: int
    """Number of folders of code, data or a model."""
    files: int
    """Number of other files, such as the archives from which these folders were made."""
    bytes: int
    """Size of what is free now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unneeded:
    """What no run needs."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...]
    bytes: int
    """Size of it, without files of which a hard link stays elsewhere."""

    def told(self) -> str:
        """Its counts and its size, as text."""
        return (
            f"{plural(len(self.folders), 'folder')} and {plural(len(self.files), 'file')}, {size(self.bytes)}"
        )


def find_unneeded(base: Path, kept_s: float) -> Unneeded:
    """What no run below base/runs needs and nothing has used for `kept_s` seconds. RunError if the records of a run cannot be
    read: then it is not known what the run needs."""
    sent, latest = base / "sent", time.time() - max(kept_s, SETTLED_S)
    folders, files = list[Path](), list[Path]()
    try:
        needed = set(_needed(base))
        for kind in ("code", "data"):
            folders += [
                path
                for path in _entries(sent / kind)
                if f"{kind}/{path.name}" not in needed and _FOLDER.fullmatch(path.name) and _old(path, latest)
            ]
        names: Counter[_Inode] = Counter(inode for path in folders for inode, *_ in _inside(path))
        for path in _entries(sent / "files"):  # a file that a folder has as well takes no space of its own
            status = path.lstat()
            inode = (status.st_dev, status.st_ino)
            if status.st_mtime < latest and status.st_nlink - names[inode] == 1:
                files.append(path)
        answers = [path for path in _entries(sent / "answers") if _old(path, latest)]
        files += [path for path in answers if _run_of(sent / "answers" / path.name[:40]) is None]
    except OSError as error:
        raise RunError(
            f"{error.filename}: {error.strerror}; nothing of {sent} is removed, since it is not known what is needed"
        ) from None
    return Unneeded(folders=tuple(folders), files=tuple(files), bytes=_freed(folders, files))


def remove_unneeded(found: Unneeded, kept_s: float) -> SentRemoved:
    """Removes it, except for what was used meanwhile; RunError for what cannot be removed."""
    latest = time.time() - max(kept_s, SETTLED_S)
    folders = files = 0
    for path in found.folders:
        aside = path.with_name(f".{path.name.lstrip('.')}.{socket.gethostname()}.{os.getpid()}.removed")
        try:
            path.rename(aside)  # a folder is never there in part
            if not _old(aside, latest):
                aside.rename(path)
                continue
            shutil.rmtree(aside)
        except FileNotFoundError:
            continue  # another launch removes it
        except OSError as error:
            raise RunError(f"{path} cannot be removed: {error.strerror}") from None
        folders += 1
    for path in found.files:
        try:
            if path.lstat().st_mtime < latest:
                path.unlink()
                files += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RunError(f"{path} cannot be removed: {error.strerror}") from None
    return {"folders": folders, "files": files, "bytes": found.bytes}


def remove_after_launch(base: Path) -> None:
    """Removes what no run has needed for two weeks, at most once a day, and says how much it was."""
    stamp = base / "sent" / "looked_through"
    with suppress(OSError):
        if time.time() - stamp.stat().st_mtime < _EVERY_S:
            return
    try:
        stamp.touch()
        found = find_unneeded(base, KEPT_S)
        if found.folders or found.files:
            remove_unneeded(found, KEPT_S)
            say(f"removed {found.told()} from {base}/sent: no run needs them any more")
    except (RunError, OSError) as error:
        say(str(error))


def _needed(base: Path) -> Iterator[str]:
    """Names, such as code/HASH, of the folders that a run, a sweep or a launch of one names."""
    runs = base / "runs"
    for depth in ("*/*", "*/*/*"):
        for name in _RECORDS:
            for file in runs.glob(f"{depth}/{name}"):
                yield from _named_in(file)
    for file in (base / "sent" / "answers").glob("*.request.json"):
        if _run_of(file.with_name(file.name.partition(".")[0])) is not None:
            yield from _named_in(file)


def _named_in(file: Path) -> list[str]:
    return [match.decode() for match in _SENT.findall(file.read_bytes())]


def _run_of(answer: Path) -> Path | None:
    """The folder of the run or the sweep that a launch has made, if it is still there."""
    told = object_in(answer) or {}
    folder = told.get("run_dir") or told.get("sweep_dir")
    return Path(folder) if isinstance(folder, str) and Path(folder).is_dir() else None


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _old(path: Path, latest: float) -> bool:
    return path.lstat().st_mtime < latest


def _inside(folder: Path) -> Iterator[tuple[_Inode, int, int]]:
    """Inode, number of hard links and size of each file in a folder."""
    for where, _, names in os.walk(folder):
        for name in names:
            status = Path(where, name).lstat()
            yield (status.st_dev, status.st_ino), status.st_nlink, status.st_size


def _freed(folders: list[Path], files: list[Path]) -> int:
    """The size of the files of which every hard link is removed."""
    names: Counter[_Inode] = Counter()
    known: dict[_Inode, tuple[int, int]] = {}
    for folder in folders:
        for inode, links, length in _inside(folder):
            names[inode] += 1
            known[inode] = (links, length)
    for path in files:
        status = path.lstat()
        inode = (status.st_dev, status.st_ino)
        names[inode] += 1
        known[inode] = (status.st_nlink, status.st_size)
    return sum(length for inode, (links, length) in known.items() if links == names[inode])
