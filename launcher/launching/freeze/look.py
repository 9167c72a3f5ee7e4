"""Which files of a folder are code, or small enough to belong to it."""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from pathlib import Path

MOST_FILES, MOST_BYTES = 50_000, 512 << 20
"""A folder that holds more is not kept: it is a home folder or a disk, not a project."""
_CODE = (".py", ".so", ".pyx", ".pth")
_SMALL, _LARGEST_CODE = 1 << 20, 256 << 20
"""Bytes up to which a file is kept that is not code, which code beside it may read, and bytes up to which code is kept."""
_OWN, _OWN_MAIN = b"launcher/", b"launcher/__main__.py"
"""This package and a file of it, below the folder that holds it: its files are kept at any size, since a report needs the
library of its charts."""
_CROWD = 5_000
"""A folder with more entries than this and without any Python file is data."""
_NO_CODE = ("__pycache__", "node_modules", "site-packages", "dist-packages")
_NO_PROJECT = frozenset((b"pyvenv.cfg", b"conda-meta", b"CACHEDIR.TAG"))
"""Names of files that only a Python environment or a cache (bford.info/cachedir) has."""
_RUN_DIR = frozenset((b"plan.json", b"config.yaml", b"events.jsonl"))
"""A folder with all of these files is a run dir; the folder can also have run dirs of another runs_dir than this launch's."""
_SECRET = (
    "*.env", "*.env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.kdbx", "*.keytab", "id_rsa*", "id_ed25519*", "id_ecdsa*",
    "*credentials*", "service_account*.json", "secrets.y*ml", "secrets.json", "secrets.toml", "*.htpasswd",
)  # fmt: skip
"""Names of files that usually hold secrets; a Python file with such a name is code."""


@dataclass(slots=True, kw_only=True)
class FolderFiles:
    """The files of a folder, as they were found."""

    files: list[tuple[bytes, int, int, int, int]] = field(
        default_factory=list[tuple[bytes, int, int, int, int]]
    )
    """Path below the folder, size, time of change, inode and mode of each."""
    left_out: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Reason -> what was left out for it."""
    entries: int = 0
    too_large: bool = False

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size, *_ in self.files)

    def leave_out(self, reason: str, path: bytes) -> None:
        """Notes that something is left out."""
        self.left_out.setdefault(reason, []).append(os.fsdecode(path))


def look(
    root: Path,
    only: Sequence[str],
    skipped: Sequence[Path],
    ignored: Sequence[bytes],
    most_files: int = MOST_FILES,
    listed: "Callable[[bytes], Iterable[os.DirEntry[bytes]]] | None" = None,
) -> FolderFiles:
    """The files of a folder, or of its parts `only`. `skipped` are folders beside the code, such as those of runs; of the
    folders `ignored` (by git), only one with a Python file in it is looked at. `listed` lists a folder: else os.scandir."""
    seen = FolderFiles()
    skip = {os.fsencode(path) for path in skipped}
    skip_ignored = {os.path.join(os.fsencode(root), path.rstrip(b"/")) for path in ignored}  # noqa: PTH118 - bytes
    base = os.fsencode(root)
    below = len(base.rstrip(b"/")) + 1
    own = _OWN if os.path.isfile(os.path.join(base, _OWN_MAIN)) else None  # noqa: PTH113, PTH118 - bytes
    pending = [(base, frozenset[tuple[int, int]]())]
    while pending:
        folder, above = pending.pop()
        entries = _entries(folder, seen, below, listed or _scan)
        top = folder == base
        names = {entry.name for entry in entries}
        if not top and (names & _NO_PROJECT or names >= _RUN_DIR):
            continue
        seen.entries += len(entries)
        if top and only:
            entries = [entry for entry in entries if os.fsdecode(entry.name) in only]
        code = any(entry.name.endswith(b".py") for entry in entries)
        if not top and not code and (len(entries) > _CROWD or folder in skip_ignored):
            seen.leave_out(
                "data folders" if len(entries) > _CROWD else "folders that git ignores, without Python files",
                folder[below:],
            )
            continue
        for entry in entries:
            if _is_dir(entry):
                pending += _descend(entry, above, base, skip, seen, below)
            else:
                _take(entry, seen, below, own)
        if seen.entries > most_files:
            seen.too_large = True
            return seen
    seen.too_large = seen.size > MOST_BYTES
    seen.files.sort()
    return seen


def _entries(
    folder: bytes, seen: FolderFiles, below: int, listed: "Callable[[bytes], Iterable[os.DirEntry[bytes]]]"
) -> "list[os.DirEntry[bytes]]":
    try:
        return [entry for entry in listed(folder) if not entry.name.startswith(b".")]
    except OSError:
        seen.leave_out("unreadable", folder[below:])
        return []


def _scan(folder: bytes) -> "list[os.DirEntry[bytes]]":
    with os.scandir(folder) as found:
        return list(found)


@cache
def own_entries(folder: bytes) -> "list[os.DirEntry[bytes]]":
    """What is in a folder of the launcher itself, listed once; OSError if it cannot be listed.

    A launch needs the state of these files twice: for the key under which a data check is remembered, and for the copy of the
    code. An entry asks for the state of its file once. What this process found first counts for as long as it lives, because
    that is the code which it runs.
    """
    return _scan(folder)


def _is_dir(entry: "os.DirEntry[bytes]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; _take reports it
        return False


def _descend(
    entry: "os.DirEntry[bytes]",
    above: frozenset[tuple[int, int]],
    base: bytes,
    skip: set[bytes],
    seen: FolderFiles,
    below: int,
) -> "Iterator[tuple[bytes, frozenset[tuple[int, int]]]]":
    """The folder of the entry if it can hold code; a link is followed unless it leads back or to a folder of data."""
    if os.fsdecode(entry.name) in _NO_CODE or entry.path in skip:
        return
    if entry.is_symlink():
        if any(os.path.lexists(os.path.join(entry.path, mark)) for mark in _NO_PROJECT):  # noqa: PTH118 - bytes
            return
        status = entry.stat()
        here = (status.st_dev, status.st_ino)
        real = os.path.realpath(entry.path)
        if here in above or base.startswith(real + b"/") or real == base or real in skip:
            return
        if not any(Path(os.fsdecode(real)).glob("*.py")):
            seen.leave_out("links to folders without Python files", entry.path[below:])
            return
        above = above | {here}
    yield entry.path, above


def has_secret_name(name: str) -> bool:
    """Whether files of that name usually hold secrets; the name is in lower case."""
    return not name.endswith(".py") and _secret_names().match(name) is not None


@cache
def _secret_names() -> re.Pattern[str]:
    """One expression for all patterns: a folder can have 10,000 files."""
    return re.compile("|".join(translate(pattern) for pattern in _SECRET))


def _take(entry: "os.DirEntry[bytes]", seen: FolderFiles, below: int, own: bytes | None) -> None:
    path = entry.path[below:]
    try:
        status = entry.stat()
    except OSError:
        seen.leave_out("broken links", path)
        return
    mode, size = status.st_mode, status.st_size
    if not stat.S_ISREG(mode):
        return
    most = _LARGEST_CODE
    if not path.endswith(b".py"):  # the checks below take time, and nearly all files of code are Python files
        name = os.fsdecode(entry.name).lower()
        if has_secret_name(name):
            seen.leave_out("files with names of secrets", path)
            return
        if name.endswith((".pyc", ".pyo")):
            return
        if not (name.endswith(_CODE) or ".so." in name or (own and path.startswith(own))):
            most = _SMALL
    if size > most:
        what = "files over 1 MiB that are not code" if most == _SMALL else "files of code over 256 MiB"
        seen.leave_out(what, path)
    else:
        seen.files.append((path, size, status.st_mtime_ns, status.st_ino, stat.S_IMODE(mode)))
