"""One row as it is in a file, and JSON as rows are written in it: a key that occurs twice in an object is
noticed, not lost.
"""

import json
from typing import Any, NamedTuple

from launcher.data.findings import BrokenRow

_doubled: list[str] = []


class Row(NamedTuple):
    """The value of one row, or what is wrong with it."""

    line: int
    value: Any
    fault: BrokenRow | None = None
    file: str = ""
    """The file, if the rows are those of several; then `line` numbers the lines of all of them through."""
    line_there: int = 0
    """The line in that file."""
    lost_nulls: bool = False
    """Whether arguments of its calls are null in a table, which cannot express absence; they are read as absent."""
    header: tuple[str, ...] = ()
    """The columns of the table that it is a row of; those whose cells are empty are left out of the value."""
    unit: str = "line"
    """What the number counts: lines, or rows where several are on one line or the file has no lines."""

    def where(self, path: str) -> str:
        """The place for a person; `path` is what was read, if it is one file."""
        return (
            f"{self.file}, {self.unit} {self.line_there}" if self.file else f"{path}, {self.unit} {self.line}"
        )


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


def value_in(text: str) -> Any:
    """The value of JSON that stands within a string or a cell; ValueError if the text is not JSON, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_single() -> None:
    """BrokenRow if the value decoded last has a key twice in one object."""
    if _doubled:
        name = _doubled[0]
        _doubled.clear()
        raise BrokenRow(
            "duplicate_key", f"the key '{name}' occurs twice in one object; remove or rename one of the two"
        )
