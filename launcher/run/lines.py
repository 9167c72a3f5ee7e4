"""How files of a run dir are written and read: lines of JSON, to which several hosts append, and whole texts at once.

Lines are read completely or from a reader's last offset. An append locks the file itself by lockf, which works between hosts
on NFS. filelock is not used: it uses flock, and if the file system has no locks it fails or needs a second file for each
file; a line must be written even without a lock.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from launcher.errors import RunError

T = TypeVar("T")

_LOCK_TRIES, _LOCK_S = 50, 0.01
_PIECE = 1 << 20
"""Bytes that are read at once."""
_MARK = 128
"""Bytes at the file's start and before a reader's offset by which it recognizes its file: an inode number can be reused."""


def now() -> str:
    """The time in UTC, ISO 8601, with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def is_time(text: str) -> bool:
    """Whether a line's time can be compared; the empty one of a line of older versions can."""
    if not text:
        return True
    try:
        datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return False
    return True


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append `value` as one JSON line with one write(2) on an O_APPEND descriptor; after a torn line, on a new one.

    It locks the file if it gets the lock soon: NFS does not append atomically (open(2)).
    """
    line = json.dumps(value, ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _lock(descriptor)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = f"\n{line}"
        rest = line.encode("utf-8", "backslashreplace")
        while rest:  # a disk that becomes full takes a part, and the error comes only at the next write
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Locks until the descriptor is closed; returns without a lock if the file system has none or it is held too long."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_S)
        except OSError:
            return
        else:
            return


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a .jsonl file; empty without a file. Torn lines are left out."""
    yield from LineReader[dict[str, Any]](path).read()


def _as_is(value: dict[str, Any]) -> Any:
    return value


class LineReader(Generic[T]):
    """Reads a growing file of JSON lines: each read returns only what was appended since the previous one.

    An incomplete last line is returned by a later read. If the file was truncated or replaced, the next read begins at its
    start and sets `restarted`.
    """

    def __init__(self, path: Path, parse: Callable[[dict[str, Any]], T | None] = _as_is) -> None:
        """`parse` returns the value for a JSON object, None if it is damaged; by default the object itself."""
        self.path, self._parse = path, parse
        self.restarted = False
        """Whether the newest read found other content before its offset, so that earlier results are invalid."""
        self.damaged: int = 0
        """Complete lines that were left out so far, because they are not JSON objects or `parse` returned None; a torn line
        counts once another line follows it."""
        self._offset = 0
        self._inode = 0
        self._head: bytes = b""
        self._mark: bytes = b""

    def read(self) -> list[T]:
        """The new lines, oldest first; all at the first call, none without a file."""
        found: list[T] = []
        restarted = False
        offset, mark, damaged = self._offset, self._mark, self.damaged
        try:
            for values in self.pieces():
                restarted = restarted or self.restarted
                found += values
        except OSError:  # a later read gets what this one has lost
            self._offset, self._mark, self.damaged = offset, mark, damaged
            raise
        self.restarted = restarted
        return found

    def pieces(self) -> Iterator[list[T]]:
        """The new lines, oldest first, in parts of a large file; at least one part. `restarted` is about what came before the
        part. After an OSError, the next read continues after the last part."""
        self.restarted = False
        try:
            # opened for every read: NFS shows what other hosts wrote when a file is opened (close-to-open consistency)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            self._begin(0)
            yield []
            return
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise RunError(f"{self.path} is not a regular file; was it replaced?")
            if self._inode != facts.st_ino or not self._is_same(descriptor, facts.st_size):
                self._begin(facts.st_ino)
            yield from self._new(descriptor, facts.st_size)
        finally:
            os.close(descriptor)

    def _begin(self, inode: int) -> None:
        self.restarted = self._offset > 0
        self._offset, self._inode, self._head, self._mark = 0, inode, b"", b""
        self.damaged = 0

    def _is_same(self, descriptor: int, size: int) -> bool:
        if size < self._offset:
            return False
        mark = os.pread(descriptor, len(self._mark), self._offset - len(self._mark))
        return mark == self._mark and os.pread(descriptor, len(self._head), 0) == self._head

    def _new(self, descriptor: int, size: int) -> Iterator[list[T]]:
        at, rest = self._offset, b""
        while at < size and (piece := os.pread(descriptor, min(_PIECE, size - at), at)):
            at += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            values = [self._take(line) for line in lines if line.strip()]
            self.damaged += values.count(None)
            self._advance(lines)
            yield [value for value in values if value is not None]
            self.restarted = False
        # An object without a line end is complete: no part from its start is itself a JSON object.
        last = _parse(rest) if rest else None
        if last is not None:
            self._offset += len(rest)
            self._mark = (self._mark + rest)[-_MARK:]
        if len(self._head) < min(_MARK, self._offset):
            self._head = os.pread(descriptor, min(_MARK, self._offset), 0)
        values: list[T | None] = [] if last is None else [self._parse(last)]
        self.damaged += values.count(None)
        yield [value for value in values if value is not None]

    def _take(self, line: bytes) -> T | None:
        value = _parse(line)
        return None if value is None else self._parse(value)

    def _advance(self, lines: list[bytes]) -> None:
        if not lines:
            return
        self._offset += sum(map(len, lines)) + len(lines)
        self._mark = (b"\n".join(lines[-2:]) + b"\n")[-_MARK:]


def _parse(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line; None for anything else."""
    try:
        value = json.loads(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a whole file or nothing: under a temporary name, then renamed.

    `durable`: after a loss of power the file is the old one or the new one, and not an empty one. It costs an fsync. OSError
    for a device or a pipe: a rename would replace it, as root even /dev/null.
    """
    with contextlib.suppress(FileNotFoundError):
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            raise OSError(errno.EINVAL, "it is a device or a pipe, and not a file", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(2).hex()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # an error of write(2) names no file
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
