"""All row formats by name, in the order in which they are tried. They are found once in each process."""

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.formats.base import ABOUT, Fields, Format, Writer
from launcher.registry import Registry

_OWN = Path(__file__).resolve().parent
FORMATS = Registry(
    kind="row format",
    key="data.format",
    package="launcher.formats",
    group="launcher.formats",
    spec=Format,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The formats, and values derived from all of them. It is made once and not for each row."""

    formats: Mapping[str, Format]
    """By name, in ascending order of precedence; formats of the same precedence in the order of their names."""
    order: tuple[tuple[str, Callable[[Fields], bool]], ...]
    """Name and `matches` of each, in that order."""
    allowed: Mapping[str, frozenset[str]]
    """Keys that a row of each format can have."""
    writers: Mapping[str, tuple[Format, Writer]]
    """The format and the writer for each name that `data convert --to` accepts."""
    lists: frozenset[str]
    """Keys of all formats that hold lists of turns."""
    json_columns: frozenset[str]
    text_or_turns: frozenset[str]


@functools.cache
def known_formats() -> Known:
    """All formats; ConfigError if one from another distribution cannot be imported."""
    found = {name: FORMATS.find(name) for name in FORMATS.names()}
    formats = dict(sorted(found.items(), key=lambda item: (item[1].precedence, item[0])))
    writers = {name: (one, one.write) for name, one in formats.items()}
    for one in formats.values():
        for spelling, write in one.other_spellings.items():
            writers.setdefault(spelling, (one, write))
    return Known(
        formats=formats,
        order=tuple((name, one.matches) for name, one in formats.items()),
        allowed={name: frozenset((*one.keys, *ABOUT)) for name, one in formats.items()},
        writers=writers,
        lists=frozenset(key for one in formats.values() for key in one.lists),
        json_columns=frozenset(key for one in formats.values() for key in one.json_columns),
        text_or_turns=frozenset(key for one in formats.values() for key in one.text_or_turns),
    )


def own_format(kind: str) -> str:
    """The format with the name of this kind, or else the first one whose common forms are of it."""
    if kind in known_formats().formats:
        return kind
    return next(name for name, one in known_formats().formats.items() if one.kind == kind)


@functools.cache
def code_digest() -> str:
    """A digest of the code of all formats, including those of other distributions; tokens derived from rows depend on it."""
    own = sorted(_OWN.glob("*.py"))
    return _digest([*own, *_foreign_files()])


@functools.cache
def foreign_code() -> str:
    """A digest of the code of formats from other distributions; empty if there are none, in which case nothing is imported."""
    return _digest(_foreign_files()) if FORMATS.foreign_names() else ""


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _foreign_files() -> Iterator[Path]:
    modules = {one.read.__module__ for one in known_formats().formats.values()}
    for name in sorted(modules):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).resolve().parent != _OWN:
            yield Path(file)
