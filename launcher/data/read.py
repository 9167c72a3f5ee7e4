"""Reading a row of any format into its common form."""

from typing import Any, NamedTuple, cast

from launcher.config.data import AUTO
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.meanings import no_format
from launcher.data.reading import Reading
from launcher.data.tidy import tidy
from launcher.formats.registry import FORMATS, known_formats

_NO_ROLES: dict[str, str] = {}


class ReadRow(NamedTuple):
    """A row that was read, and which of its keys were left out or converted."""

    format: str
    example: Example
    dropped: tuple[str, ...] = ()
    """Keys that were left out; those of turns as `messages[].KEY`."""
    as_text: tuple[str, ...] = ()
    """Keys whose lists of turns arrived as text, with how."""


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


def read_row(value: Any, reading: Reading) -> ReadRow:
    """The row as `reading` says; BrokenRow names the rule that it breaks."""
    if not isinstance(value, dict):
        raise BrokenRow("not_object", _no_object(value))
    row, left_out = reading.rename(cast("dict[str, Any]", value))
    name = detect(row) if reading.format == AUTO else reading.format
    if name is None:
        row = plain_names(row)
        name = detect(row)
        if name is None:
            raise BrokenRow("format", no_format(row, reading))
    known = known_formats()
    one = known.formats.get(name) or FORMATS.find(name)
    if reading.format != AUTO and not one.matches(row):
        raise BrokenRow(
            "format", f"the row is not of the format {name}; its keys are {', '.join(row) or '(none)'}"
        )
    as_text: list[str] = []
    row = tidy(row, one, left_out, as_text, dict(reading.roles) if reading.roles else _NO_ROLES)
    left_out += one.unread(row)
    return ReadRow(name, one.read(row), tuple(left_out), tuple(as_text))


def plain_names(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its keys in lower case and without spaces around them, unless two become one."""
    plain = {key.strip().lower(): value for key, value in row.items()}
    return plain if len(plain) == len(row) else row


def _no_object(value: Any) -> str:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    if items and all(isinstance(item, dict) for item in items):
        return 'a row is a list of turns without a name; write {"messages": [...]} around each list'
    kind = "null" if value is None else f"a {type(value).__name__}"  # pyright: ignore[reportUnknownArgumentType]
    return f'a row is {kind}, not an object with a "messages" list'
