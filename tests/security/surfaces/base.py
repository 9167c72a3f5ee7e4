"""One kind of input that somebody else may have written: what a good one looks like, and who reads it.

A reader may refuse what it is given: with a LauncherError, or with another error that its callers expect. Anything else that it
raises is a traceback for a person, or the end of a supervisor.
"""

import dataclasses
import json
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from launcher.protocol.codec import Message
from tests.security.calls import Called, call


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One kind of input."""

    name: str
    good: bytes
    """What the launcher, or another program, writes there."""
    suffix: str
    """.json, .jsonl and .yaml: single values of it are changed too."""
    read: Callable[[bytes], object]
    """Uses an input of this kind as the launcher does."""
    refuses: tuple[type[Exception], ...] = ()
    """Errors beside LauncherError by which it may refuse an input."""
    cost: int = 1
    """How many times longer a call takes than most: it gets as many times fewer inputs."""


class Traceback(Exception):
    """A verb has ended in one."""


def file_of(path: Path, use: Callable[[], object]) -> Callable[[bytes], object]:
    """A reader of the file: it is written, then used."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def read(content: bytes) -> object:
        path.write_bytes(content)
        return use()

    return read


def with_file(file: Path, content: bytes, use: Callable[[], object]) -> object:
    file.write_bytes(content)
    return use()


def verb(*words: str) -> Called:
    """A command line; Traceback if it ends in one, or shows an escape."""
    called = call(words)
    if called.fault:
        raise Traceback(called.fault)
    if "\x1b" in called.out + called.err:
        raise Traceback("an escape reaches the terminal")
    return called


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_lines(values: Any) -> bytes:
    return b"".join(as_json(value) + b"\n" for value in values)


def example(hint: Any) -> Any:
    """A JSON value of a type of the wire."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return example(inner[0])
    if origin is dict:
        return {"1" if inner[0] is int else "a": example(inner[1])}
    if origin is tuple:
        return [example(inner[0])]
    if issubclass(hint, tuple):
        return [example(one) for one in get_type_hints(hint).values()]
    if origin is list:
        return [example(inner[0])]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        kind = {"kind": hint.__name__} if issubclass(hint, Message) else {}
        return {**kind, **{one.name: example(hints[one.name]) for one in dataclasses.fields(hint)}}
    return hint(1)
