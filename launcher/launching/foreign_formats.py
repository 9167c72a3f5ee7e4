"""Whether other packages bring row formats, remembered between launches: finding out reads a file of each installed package."""

import hashlib
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from launcher.registry import entry_point_places, has_other_finder
from launcher.run import write_text

_SETTLED_NS = 2_000_000_000
"""A place that changed less than this ago may change again within the resolution of its time stamp, so it proves nothing."""


def foreign_formats(cache_dir: Path) -> str:
    """As `foreign_code` of the registry of formats.

    That there are none is kept in the cache for as long as no folder of Python's search path changes.
    """
    if has_other_finder():
        return _code()
    path = tuple(os.path.abspath(folder) for folder in sys.path)  # noqa: PTH100 - a Path for each costs time
    kept = cache_dir / "entry_points" / f"{hashlib.sha256(repr(path).encode()).hexdigest()[:32]}.json"
    if _none_found(kept):
        return ""
    began = time.time_ns()
    code = _code()
    places = None if code else entry_point_places(path)
    if places is not None:
        stamps = {place: _stamp(place) for place in places}
        if max(filter(None, stamps.values()), default=0) < began - _SETTLED_NS:
            with suppress(OSError):  # the next launch looks again
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_text(kept, json.dumps(stamps))
    return code


def _code() -> str:
    from launcher.formats.registry import foreign_code  # by need: most launches remember that there are none

    return foreign_code()


def _none_found(kept: Path) -> bool:
    """Whether an earlier look found no format, and nothing has changed since."""
    try:
        stamps: dict[str, Any] = json.loads(kept.read_text())
        return all(_stamp(place) == stamp for place, stamp in stamps.items())
    except (OSError, ValueError, AttributeError):
        return False


def _stamp(place: str) -> int | None:
    """When a folder or file changed, in nanoseconds; None if it does not exist."""
    try:
        return os.stat(place).st_mtime_ns  # noqa: PTH116
    except OSError:
        return None
