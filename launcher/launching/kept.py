"""What was found in data files, computed once per version of the files: for all trials of a multirun and for later launches."""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from launcher import __version__
from launcher.data.places import find_files, is_address, size_of, state_of
from launcher.launching.foreign_formats import foreign_formats
from launcher.reading import object_in
from launcher.run import write_text

_KEPT_FROM = 8 << 20
"""File size from which a file is identified by its size and modification time; a smaller one is identified by its content."""
_known: dict[str, dict[str, Any]] = {}


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
    """File -> what changes when its content does, for the files of these places."""
    found = {file: _state(file) for place in places for file in find_files(place)}
    return {file: f"{size} bytes, {state}" for file, (size, state) in found.items()}


def _state(file: str) -> tuple[int, int | str]:
    """What changes when the file's content does."""
    if is_address(file):
        return size_of(file), state_of(file)
    status = Path(file).stat()
    if status.st_size >= _KEPT_FROM:
        return status.st_size, status.st_mtime_ns
    return status.st_size, _digest(file, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(file: str, size: int, changed_ns: int) -> str:
    """The digest of a small file, which one command asks for several times."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


@functools.cache
def _code_state(cache_dir: Path) -> list[Any]:
    """What changes when the code that checks data does."""
    here = Path(__file__).resolve().parents[1]
    files = [
        file for room in ("data", "formats") for file in os.scandir(here / room) if file.name.endswith(".py")
    ]
    stamps = sorted(
        (file.name, status.st_size, status.st_mtime_ns) for file in files if (status := file.stat())
    )
    return [*stamps, foreign_formats(cache_dir)]
