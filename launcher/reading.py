"""Reads small files that anybody may have written, as text or JSON; one sentence says what is wrong with a file."""

import errno
import json
import os
import select
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from launcher.errors import RunError

_PIPE_S = 10.0
_MOST = 64 << 20
"""Bytes. The files of a run that are read whole are much smaller."""


class Document(dict[str, Any]):
    """A JSON object of a file. A key that it does not have is a RunError that names the file."""

    __slots__ = ("where",)

    def __init__(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), where: str = "a file"
    ) -> None:
        super().__init__(values)
        self.where = where
        """The file, and the place in it."""

    def __missing__(self, key: str) -> Any:
        raise RunError(
            f"{self.where} has no {key}; was it edited, or written by another version of the launcher?"
        )


def read_text(path: Path) -> str:
    """The text of a file, in UTF-8. FileNotFoundError without one; RunError if it is not a text file of usual size, such as a
    pipe, which could be read forever."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise RunError(f"{path} is not a regular file; was it replaced?")
        if facts.st_size > _MOST:
            raise RunError(
                f"{path} has {facts.st_size >> 20} MiB, more than such a file can have; was it replaced?"
            )
        try:
            return file.read(_MOST).decode()
        except UnicodeDecodeError as error:
            raise RunError(f"{path} is not UTF-8 text (byte {error.start}); was it edited?") from None
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}") from None


def read_given(path: Path, most: int) -> bytes:
    """At most that many bytes of a file that a person names, or of a pipe into which a program writes, as of <(...).

    OSError for a device, and for a pipe into which nobody has written within some seconds.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(kind := os.fstat(descriptor).st_mode) and not stat.S_ISFIFO(kind):
            what = errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL
            raise OSError(what, os.strerror(what) if stat.S_ISDIR(kind) else "it is not a file", str(path))
        found, deadline = b"", time.monotonic() + _PIPE_S
        while len(found) < most:
            try:
                piece = os.read(descriptor, most - len(found))
            except BlockingIOError:
                if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    raise OSError(errno.EAGAIN, "nobody writes into this pipe", str(path)) from None
                continue
            if not piece:
                break
            found += piece
        return found
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """The JSON value of a file, its objects as Documents; FileNotFoundError and RunError as of read_text."""
    value = _value(path)
    try:
        return _wrap(value, str(path))
    except RecursionError:
        raise RunError(f"{path} is not JSON (it is nested too deep); was it edited?") from None


def object_in(path: Path) -> dict[str, Any] | None:
    """The JSON object in an optional file, such as one of a cache or a model; None if there is no such file, if it cannot be
    read, or if it holds anything else."""
    try:
        value = _value(path)
    except (OSError, RunError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _value(path: Path) -> Any:
    text = read_text(path)
    try:
        return json.loads(text)
    except ValueError as error:
        empty = "it is empty" if not text.strip() else str(error)
        raise RunError(f"{path} is not JSON ({empty}); was it edited?") from None
    except RecursionError:
        raise RunError(f"{path} is not JSON (it is nested too deep); was it edited?") from None


def _wrap(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return Document({key: _wrap(item, f"{where}: {key}") for key, item in items.items()}, where)
    if isinstance(value, list):
        return [_wrap(item, where) for item in cast("list[Any]", value)]
    return value
