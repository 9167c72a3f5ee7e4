"""Tokens on disk, created once and shared by ranks, restarts and runs: one folder per key, which is complete or absent."""

import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launcher.errors import DataError
from launcher.run import RunDir, write_text
from launcher.run.events.ranks import Tokenizing
from launcher.train.data.build_lock import STALE_S, BuildLock
from launcher.train.heartbeat import Heartbeat

ROWS = "rows.arrow"
_COMMIT = "commit.json"
_POLL_S = 0.25
_SAY_S = 1.0
_SILENT_S = 3600.0
"""Seconds without progress of rank 0 after which the other ranks give up; a supervisor reacts earlier."""

Progress = Callable[[int], None]


class Shared:
    """Files that rank 0 writes and all ranks read. data.json in the run dir announces them, so no collective waits for them."""

    def __init__(
        self,
        run: RunDir,
        cache_dir: str,
        attempt: int,
        rank: int,
        heartbeat: Heartbeat,
        *,
        stale_s: float = STALE_S,
    ) -> None:
        self.run, self.attempt, self.rank, self.heartbeat = run, attempt, rank, heartbeat
        self.stale_s = stale_s  # as of BuildLock
        self.folder = Path(cache_dir) / "tokens"
        self._written: dict[str, Any] = {}
        self._next = 0.0

    def forget(self) -> None:
        """Deletes the announcements of an earlier attempt. Rank 0 must call it before the first collective of the ranks."""
        if self.rank == 0:
            self.run.data.unlink(missing_ok=True)

    def rows(
        self, name: str, key: Callable[[], dict[str, Any]], make: Callable[[Path, Progress], dict[str, Any]]
    ) -> Path:
        """The file of rows for the result of `key`; `make` writes it if there is none. Every rank must call this with the same
        names in the same order. `make` gets an empty folder and a function to report how many examples it has read."""
        if self.rank:
            return self._wait(name) / ROWS
        begun = time.monotonic()
        words = key()
        digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:24]
        folder, made = self.folder / digest, False
        facts = committed(folder)
        if facts is None:
            facts, made = self._make(name, folder, words, make)
        result = {**facts, "tokenized": made, "seconds": round(time.monotonic() - begun, 2)}
        self.run.add_event("data", attempt=self.attempt, set=name, folder=str(folder), **result)
        self._say({name: {"folder": str(folder), **result}, "progress": 0})
        self.heartbeat.phase("data", 0)
        return folder / ROWS

    def _make(
        self, name: str, folder: Path, words: dict[str, Any], make: Callable[[Path, Progress], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """The facts of the committed folder, and whether this process made it."""
        while True:
            lock = BuildLock(self.folder / f".{folder.name}.claim", self.stale_s)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                return self._make_once(lock, name, folder, words, make)
            except OSError as error:
                if not lock.is_lost() and committed(folder) is None:
                    raise DataError(
                        f"cache_dir: tokens cannot be written to {self.folder} ({error}); choose another folder"
                    ) from None
                # this process paused so long that another one took over; the result of that one is equally good

    def _make_once(
        self,
        lock: BuildLock,
        name: str,
        folder: Path,
        words: dict[str, Any],
        make: Callable[[Path, Progress], dict[str, Any]],
    ) -> tuple[dict[str, Any], bool]:
        """As `_make`, once the lock is held or the work is done; OSError if the folder cannot be written."""

        def progress(count: int) -> None:
            lock.count = count
            self._progress(count)

        found: list[dict[str, Any]] = []

        def done() -> bool:
            facts = committed(folder)
            found.extend([facts] if facts is not None else [])
            return facts is not None

        if not lock.take(done, self._progress):
            return found[0], False
        temporary = self.folder / f".{folder.name}.{lock.nonce}"
        try:
            for left in self.folder.glob(f".{folder.name}.*"):  # left by a process that was killed
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
            self.run.note(Tokenizing(attempt=self.attempt, set=name, key=folder.name))
            temporary.mkdir()
            facts = make(temporary, progress)
            commit(temporary, words, facts)
            _put(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            lock.release()
        return facts, True

    def _progress(self, count: int) -> None:
        self.heartbeat.phase("data", count)
        if time.monotonic() > self._next:
            self._next = time.monotonic() + _SAY_S
            self._say({"progress": count})

    def _say(self, more: dict[str, Any]) -> None:
        self._written |= more
        write_text(self.run.data, json.dumps({"attempt": self.attempt, **self._written}, indent=1) + "\n")

    def _wait(self, name: str) -> Path:
        seen, since = -1, time.monotonic()
        while True:
            content = _read(self.run.data)
            if name in content:
                self.heartbeat.phase("data", 0)
                return Path(content[name]["folder"])
            count = int(content.get("progress", 0))
            if count != seen:
                seen, since = count, time.monotonic()
            if time.monotonic() - since > _SILENT_S:
                raise DataError(
                    f"rank 0 has made no progress with the {name} tokens for {_SILENT_S:.0f} s; see its log"
                )
            self.heartbeat.phase("data", count)
            time.sleep(_POLL_S)


def commit(folder: Path, words: dict[str, Any], facts: dict[str, Any]) -> None:
    """Writes the commit file last, without which the folder does not count: facts, and size and checksum of every file."""
    files = {path.name: _sum(path) for path in sorted(folder.iterdir())}
    for path in folder.iterdir():
        _sync(path)
    write_text(folder / _COMMIT, json.dumps({"key": words, "facts": facts, "files": files}, indent=1))
    _sync(folder / _COMMIT)


def committed(folder: Path) -> dict[str, Any] | None:
    """The facts of a complete folder, after all its files are read and checked; None for any other folder."""
    content = _read(folder / _COMMIT)
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
    _sync(folder.parent)


def _sum(path: Path) -> list[int]:
    """Size and CRC-32 of a file."""
    size = value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            size += len(block)
            value = zlib.crc32(block, value)
    return [size, value]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
