"""JSON as rows are written in it: a key that occurs twice in an object is noticed, and not lost."""

import json
from typing import Any

from launcher.data.findings import BrokenRow

_doubled: list[str] = []


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        _doubled.extend(name for name, _ in pairs if name in seen or seen.add(name))
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_object)


def decode(text: str) -> Any:
    """The value; ValueError if the text is not JSON, BrokenRow for a key that occurs twice."""
    _doubled.clear()
    value = DECODER.decode(text)
    check_single()
    return value


def check_single() -> None:
    """BrokenRow if the value decoded last has a key twice in one object."""
    if _doubled:
        name = _doubled[0]
        _doubled.clear()
        raise BrokenRow(
            "duplicate_key", f"the key '{name}' occurs twice in one object; remove or rename one of the two"
        )
