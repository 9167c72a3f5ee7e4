"""Reading a row of any format into its common form."""

import functools
from typing import Any, NamedTuple, cast

from launcher.config.data import AUTO
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.meanings import no_format
from launcher.data.public_sets import CHOICES, MEDIA, way_out
from launcher.data.reading import Reading
from launcher.data.row import Row
from launcher.data.tidy import tidy
from launcher.formats.registry import FORMATS, known_formats

_CHOICES = frozenset(CHOICES)
_NO_ROLES: dict[str, str] = {}


class ReadRow(NamedTuple):
    """A row that was read, and which of its keys were left out or converted."""

    format: str
    example: Example
    dropped: tuple[str, ...] = ()
    """Keys that were left out; those of turns as `messages[].KEY`."""
    as_text: tuple[str, ...] = ()
    """Keys whose lists of turns were written as text, with the form of the text."""


def detect(row: dict[str, Any]) -> str | None:
    """The first format, by precedence, that the row's keys match; None if they match none."""
    for name, matches in known_formats().order:
        if matches(row):
            return name
    return None


def read_example(value: Any, asked: str = AUTO) -> tuple[str, Example]:
    """The row's format and its common form; BrokenRow names the rule that it breaks."""
    found = read_row(value, Reading(format=asked))
    return found.format, found.example


def read_stored(row: Row, reading: Reading) -> ReadRow:
    """The same as read_row, but a row of a table with an empty cell is read as the kind of a full row, and is broken if it
    lacks what that kind needs: otherwise a question without its answer would be read as a prompt among chats."""
    cells = cast("dict[str, Any]", row.value) if row.header else {}
    if len(cells) < len(row.header) and _kind(reading.rename(cells)[0]) != _kind_of_table(
        row.header, reading
    ):
        return read_row({**dict.fromkeys(row.header), **cells}, reading)
    return read_row(row.value, reading)


def _kind(row: dict[str, Any]) -> str | None:
    name = detect(row)
    return known_formats().formats[name].kind if name else None


@functools.lru_cache(maxsize=64)
def _kind_of_table(header: tuple[str, ...], reading: Reading) -> str | None:
    """The kind of a row that has a text in every cell."""
    return _kind(reading.rename(dict.fromkeys(header, "text"))[0])


def read_row(value: Any, reading: Reading) -> ReadRow:
    """The row as `reading` says; BrokenRow names the rule that it breaks."""
    if not isinstance(value, dict):
        raise BrokenRow("not_object", _no_object(value))
    whole = cast("dict[str, Any]", value)
    row, left_out = reading.rename(whole)
    name = detect(row) if reading.format == AUTO else reading.format
    if name is None:
        given, row = row, plain_names(row)
        name = detect(row)
        if name is None:
            said = None if reading.columns else way_out(whole)
            # data.columns needs the names as they are in the file
            raise BrokenRow("format", said or no_format(given, reading))
    known = known_formats()
    one = known.formats.get(name) or FORMATS.find(name)
    if reading.format != AUTO and not one.matches(row):
        raise BrokenRow(
            "format", f"the row is not of the format {name}; its keys are {', '.join(row) or '(none)'}"
        )
    as_text: list[str] = []
    row = tidy(row, one, left_out, as_text, dict(reading.roles) if reading.roles else _NO_ROLES)
    if left_out and not _CHOICES.isdisjoint(left_out) and (said := way_out(whole)):
        raise BrokenRow("format", said)
    if left_out and (media := next((key for key in left_out if key.strip().lower() in MEDIA), None)):
        raise BrokenRow(
            "type",
            f"{media} says that the row has more than text, and only texts are trained on; data.drop=[{media}] trains on the "
            "text alone, and data.on_bad_row=skip with a data.max_bad_share that allows them leaves such rows out",
        )
    left_out += one.unread(row)
    try:
        return ReadRow(name, one.read(row), tuple(left_out), tuple(as_text))
    except BrokenRow as fault:
        if not reading.columns and (said := way_out(whole)):
            raise BrokenRow(fault.rule, said) from None
        raise


def plain_names(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its keys in lower case and without spaces around them, unless two become one."""
    plain = {key.strip().lower(): value for key, value in row.items()}
    return plain if len(plain) == len(row) else row


def _is_row(item: dict[str, Any]) -> bool:
    """Whether the object is a row and cannot be one turn of a chat: a turn has no list in it."""
    return detect(item) is not None and any(isinstance(one, list) for one in item.values())


def _no_object(value: Any) -> str:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    if items and all(isinstance(item, dict) and _is_row(cast("dict[str, Any]", item)) for item in items):
        return "a row is a list of rows; jq -c 'flatten[]' OLD > NEW writes each on a line of its own"
    if items and all(isinstance(item, dict) for item in items):
        return 'a row is a list of turns without a name; write {"messages": [...]} around each list'
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return "a row is an object written as a text in quotes, so it was written as JSON twice; jq -r . OLD > NEW undoes it"
    if isinstance(value, str):
        return (
            "a row is a text in quotes, not an object; jq -c '{text: .}' OLD > NEW makes rows to pretrain on"
        )
    kind = "null" if value is None else f"a {type(value).__name__}"  # pyright: ignore[reportUnknownArgumentType]
    return f'a row is {kind}, not an object with a "messages" list'
