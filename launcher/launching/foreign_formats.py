"""Whether other packages bring row formats, remembered between launches: finding out reads a file of each installed package."""

import hashlib
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from launcher.registry import entry_point_places, has_other_finder, holds_no_distribution
from launcher.run import write_text

_SETTLED_NS = 2_000_000_000
"""A place that changed less than this ago may change again within the resolution of its time stamp, so it proves nothing."""


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
    from launcher.formats.registry import foreign_code  # by need: most launches remember that there are none

    return foreign_code()


def _none_found(kept: Path, path: tuple[str, ...]) -> bool:
    """Whether an earlier look found no format, and nothing has changed since."""
    try:
        known: dict[str, dict[str, Any]] = json.loads(kept.read_text())
        places, without = known["places"], known["without"]
        if any(_stamp(place) != stamp for place, stamp in places.items()):
            return False
        others = [folder for folder in path if folder not in places]
        return all(
            (folder in without and _stamp(folder) == without[folder]) or holds_no_distribution(folder)
            for folder in others
        )
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return False


def _stamp(place: str) -> int | None:
    """When a folder or file changed, in nanoseconds; None if it does not exist."""
    try:
        return os.stat(place).st_mtime_ns  # noqa: PTH116
    except OSError:
        return None
