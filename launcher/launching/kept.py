"""What is remembered between launches: what was found in data files, computed once per version of the files, and whether other
packages bring row formats. Finding that out reads a file of each installed package.
"""

import functools
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from launcher import __version__
from launcher.data.places import find_files, is_address, size_of, state_of
from launcher.launching.freeze.look import own_entries
from launcher.reading import object_in
from launcher.registry import entry_point_places, has_other_finder, holds_no_distribution
from launcher.resources import PACKAGE
from launcher.run import write_text
from launcher.run.kinds import fits

KEPT_FROM = 8 << 20
"""File size from which a file is identified by its size and modification time; a smaller one is identified by its content."""
_known: dict[str, dict[str, Any]] = {}
_LOOK: Mapping[str, Any] = {"places": Mapping[str, int | None], "without": Mapping[str, int | None]}
"""The fields, with their types, of the file which records that no installed package has row formats."""
_SETTLED_NS = 2_000_000_000
"""Nanoseconds: a place that changed more recently may change again within the resolution of its time stamp, so its stamp does
not show that it is unchanged."""


def remembered(
    places: tuple[str | Path, ...],
    options: dict[str, Any],
    cache_dir: Path,
    make: Callable[[], dict[str, Any]],
    keeps: Callable[[dict[str, Any]], bool] = lambda found: True,
) -> dict[str, Any]:
    """The result of `make` for the files of these places and options.

    It is kept in the cache for other processes if `keeps` allows it.
    """
    state = [(file, _state(file)) for place in places for file in find_files(place)]
    key = hashlib.sha256(repr((state, options, _code_state(cache_dir), __version__)).encode()).hexdigest()[
        :32
    ]
    if key in _known:
        return _known[key]
    kept = cache_dir / "data_checks" / f"{key}.json"
    found = object_in(kept)  # a damaged one is made again
    if found is None:
        found = make()
        if keeps(found):
            with suppress(OSError):  # if it cannot be cached, the next launch makes it again
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_text(kept, json.dumps(found))
    _known[key] = found
    return found


def states(places: Sequence[str]) -> dict[str, str]:
    """File -> a value that changes when its content does, for the files of these places."""
    found = {file: _state(file) for place in places for file in find_files(place)}
    return {file: f"{size} bytes, {state}" for file, (size, state) in found.items()}


def _state(file: str) -> tuple[int, int | str]:
    """A value that changes when the file's content does."""
    if is_address(file):
        return size_of(file), state_of(file)
    status = Path(file).stat()
    if status.st_size >= KEPT_FROM:
        return status.st_size, status.st_mtime_ns
    return status.st_size, _digest(file, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(file: str, size: int, changed_ns: int) -> str:
    """The digest of a small file, which one command asks for several times."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


@functools.cache
def _code_state(cache_dir: Path) -> list[Any]:
    """A value that changes when the code that checks data does."""
    files = [
        file
        for room in ("data", "formats")
        for file in own_entries(os.fsencode(PACKAGE / room))
        if file.name.endswith(b".py")
    ]
    stamps = sorted(
        (file.name, status.st_size, status.st_mtime_ns) for file in files if (status := file.stat())
    )
    return [*stamps, foreign_formats(cache_dir)]


def foreign_formats(cache_dir: Path) -> str:
    """As `foreign_code` of the registry of formats.

    That there are none is kept in the cache for as long as no distribution is installed or removed.
    """
    if has_other_finder():
        return _code()
    path = tuple(os.path.abspath(folder) for folder in sys.path)  # noqa: PTH100 - a Path for each costs time
    kept = cache_dir / "entry_points" / f"{hashlib.sha256(repr(path).encode()).hexdigest()[:32]}.json"
    if _none_found(kept, path):
        return ""
    began = time.time_ns()
    code = _code()
    places = None if code else entry_point_places(path)
    if places is not None:
        stamps = {place: _stamp(place) for place in places}
        others = {folder: _stamp(folder) for folder in path if folder not in stamps}
        if max(filter(None, stamps.values()), default=0) < began - _SETTLED_NS:
            settled = {
                folder: stamp for folder, stamp in others.items() if (stamp or 0) < began - _SETTLED_NS
            }
            with suppress(OSError):  # the next launch looks again
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_text(kept, json.dumps({"places": stamps, "without": settled}))
    return code


def _code() -> str:
    from launcher.formats.registry import foreign_code  # most launches remember that there are none

    return foreign_code()


def _none_found(kept: Path, path: tuple[str, ...]) -> bool:
    """Whether an earlier look found no format, and nothing has changed since."""
    known = object_in(kept) or {}
    if not fits(known, _LOOK) or not known.keys() >= _LOOK.keys():
        return False
    places, without = known["places"], known["without"]
    if any(_stamp(place) != stamp for place, stamp in places.items()):
        return False
    others = [folder for folder in path if folder not in places]
    return all(
        (folder in without and _stamp(folder) == without[folder]) or holds_no_distribution(folder)
        for folder in others
    )


def _stamp(place: str) -> int | None:
    """When a folder or file changed, in nanoseconds; None if it does not exist."""
    try:
        return os.stat(place).st_mtime_ns  # noqa: PTH116
    except OSError:
        return None
