"""Tokens on disk, created once and shared by ranks, restarts and runs: one folder per key, which is complete or absent."""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from launcher.checkpoint.folders import sync
from launcher.errors import DataError
from launcher.run import write_text
from launcher.train.data.build_lock import STALE_S, BuildLock
from launcher.train.data.encoders import Encoders

ROWS = "rows.arrow"
_COMMIT = "commit.json"

Progress = Callable[[int], None]
Make = Callable[[Path, Progress], dict[str, Any]]
"""Writes the rows into an empty folder and returns facts about them; it reports how many examples it has read."""


class RowStore(Protocol):
    """Where the rows of a set are found or made: by rank 0 for all ranks, or before the run."""

    encoders: Encoders

    @property
    def folder(self) -> Path:
        """The folder of all tokens."""
        ...

    def rows(self, name: str, key: Callable[[], dict[str, Any]], make: Make) -> Path:
        """The file of rows for the result of `key`; `make` writes it if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A complete folder of the cache."""

    folder: Path
    facts: dict[str, Any]
    made: bool
    """Whether this process made it."""


class TokenCache:
    """The folders of tokens below cache_dir. A folder is made by one of all processes that want it at the same time."""

    def __init__(self, cache_dir: str, *, stale_s: float = STALE_S) -> None:
        self.folder = Path(cache_dir) / "tokens"
        self.stale_s = stale_s  # see BuildLock

    def find_or_make(
        self,
        words: dict[str, Any],
        make: Make,
        progress: Progress,
        begins: Callable[[str], None] = lambda key: None,
    ) -> CacheEntry:
        """The folder of that key. `progress` is called while this process or another makes it; `begins` with the folder's name
        before this process does."""
        folder = self.folder / hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:24]
        facts = committed(folder)
        if facts is not None:
            return CacheEntry(folder=folder, facts=facts, made=False)
        while True:
            lock = BuildLock(self.folder / f".{folder.name}.claim", self.stale_s)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                return self._make_once(lock, folder, words, make, progress, begins)
            except OSError as error:
                if not lock.is_lost() and committed(folder) is None:
                    raise DataError(
                        f"cache_dir: tokens cannot be written to {self.folder} ({error}); choose another folder"
                    ) from None
                # this process paused so long that another one took over; the result of that one is equally good

    def _make_once(
        self,
        lock: BuildLock,
        folder: Path,
        words: dict[str, Any],
        make: Make,
        progress: Progress,
        begins: Callable[[str], None],
    ) -> CacheEntry:
        """The result of `find_or_make`, once the lock is held or the work is done; OSError if the folder cannot be written."""

        def advance(count: int) -> None:
            lock.count = count
            progress(count)

        found: list[dict[str, Any]] = []

        def done() -> bool:
            facts = committed(folder)
            found.extend([facts] if facts is not None else [])
            return facts is not None

        if not lock.take(done, progress):
            return CacheEntry(folder=folder, facts=found[0], made=False)
        temporary = self.folder / f".{folder.name}.{lock.nonce}"
        try:
            for left in self.folder.glob(f".{folder.name}.*"):  # left by a process that was killed
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
            begins(folder.name)
            temporary.mkdir()
            facts = make(temporary, advance)
            commit(temporary, words, facts)
            _put(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            lock.release()
        return CacheEntry(folder=folder, facts=facts, made=True)


def commit(folder: Path, words: dict[str, Any], facts: dict[str, Any]) -> None:
    """Writes the commit file last, without which the folder does not count: facts, and size and checksum of every file."""
    files = {path.name: _sum(path) for path in sorted(folder.iterdir())}
    for path in folder.iterdir():
        sync(path)
    write_text(folder / _COMMIT, json.dumps({"key": words, "facts": facts, "files": files}, indent=1))
    sync(folder / _COMMIT)


def committed(folder: Path) -> dict[str, Any] | None:
    """The facts of a complete folder, after all its files are read and checked; None for any other folder."""
    content = read_json(folder / _COMMIT)
    try:
        whole = "files" in content and all(
            _sum(folder / name) == known for name, known in content["files"].items()
        )
    except OSError:
        return None
    return content["facts"] if whole else None


def _put(temporary: Path, folder: Path) -> None:
    """Renames the folder to its final name, and removes an incomplete folder with that name."""
    if folder.exists() and committed(folder) is None:
        torn = folder.with_name(f".{folder.name}.torn{os.getpid()}")
        folder.rename(torn)
        shutil.rmtree(torn, ignore_errors=True)
    try:
        temporary.rename(folder)
    except OSError:  # another run was faster, with the same content
        if committed(folder) is None:
            raise
    sync(folder.parent)


def _sum(path: Path) -> list[int]:
    """Size and CRC-32 of a file."""
    size = value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            size += len(block)
            value = zlib.crc32(block, value)
    return [size, value]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none, or it is not complete."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
