"""Values within a column, a struct of Parquet or an object of JSON: `answers.text.0` is the first text in answers."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from launcher.data.astext import holds_value, read_text
from launcher.data.findings import BrokenRow
from launcher.data.speakers import keys_of


def dig(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or of a place within one; None if there is none.

    Between dots stand the keys of objects and the numbers of a list's items, counted from 0. A list or an object that arrived
    as text is read.
    """
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        if isinstance(value, str) and holds_value(value):
            try:
                value = read_text(value, path)[0]
            except BrokenRow:
                return None
        if isinstance(value, Mapping):
            value = cast("Mapping[str, Any]", value).get(step)
            continue
        items = cast("list[Any]", value) if isinstance(value, list) else []
        if not step.isdecimal() or int(step) >= len(items):
            return None
        value = items[int(step)]
    return value


def column_of(path: str, columns: Mapping[str, Any] | tuple[str, ...]) -> str:
    """The column in which the path lies: itself if there is one of that name."""
    return path if path in columns else path.partition(".")[0]


def names_within(row: Mapping[str, Any]) -> Iterator[str]:
    """The names of the columns; in place of one that holds an object that is not a turn, those of the object's values."""
    for name, value in row.items():
        if isinstance(value, Mapping) and value and keys_of(cast("dict[str, Any]", value)) is None:
            yield from (f"{name}.{inner}" for inner in cast("Mapping[str, Any]", value))
        else:
            yield name
