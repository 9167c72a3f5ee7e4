"""Reading a row of any format into its common form."""

from typing import Any, cast

from launcher.data.kinds import Example
from launcher.data.rules import BrokenRow, check_known
from launcher.errors import unknown
from launcher.formats.base import ABOUT
from launcher.formats.registry import AUTO, FORMATS, known_formats


def detect(row: dict[str, Any]) -> str | None:
    """The first format, by precedence, that the row's keys match; None if they match none."""
    for name, matches in known_formats().order:
        if matches(row):
            return name
    return None


def read_example(value: Any, asked: str = AUTO) -> tuple[str, Example]:
    """The row's format and its common form; BrokenRow names the rule that it breaks."""
    if not isinstance(value, dict):
        raise BrokenRow(
            "not_object", f'a row is a {type(value).__name__}, not an object with a "messages" list'
        )
    row = cast("dict[str, Any]", value)
    name = detect(row) if asked == AUTO else asked
    if name is None:
        raise BrokenRow("format", f'no "messages" list, and {_no_format(row)}')
    known = known_formats()
    one = known.formats.get(name) or FORMATS.find(name)
    if not row.keys() <= known.allowed[name]:
        for key in row:
            check_known(f"key of a {name} row", key, (*one.keys, *ABOUT))
    return name, one.read(row)


def _no_format(row: dict[str, Any]) -> str:
    formats = known_formats().formats
    known = tuple(dict.fromkeys(key for one in formats.values() for key in one.keys))
    odd = [key for key in row if key not in known and key not in ABOUT]
    if odd:
        return unknown("key", odd[0], known)
    return f"the keys {', '.join(row) or '(none)'} match no format; known: {', '.join(formats)}"
