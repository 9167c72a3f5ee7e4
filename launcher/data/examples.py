"""The examples of a data file in their common form; the first invalid row is an error."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from launcher.data.files import read_rows
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.read import ReadRow, read_stored
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.data.row import Row
from launcher.data.unread import Keys
from launcher.errors import DataError


def read_examples(
    path: str | Path,
    reading: Reading | None = None,
    left_out: list[str] | None = None,
    keys: Keys | None = None,
) -> Iterator[tuple[int, Example]]:
    """Line (or number) and common form of every valid row.

    DataError names file, line and rule of the first invalid one, unless `reading` leaves invalid rows out: then `left_out`
    gets a line for each, and DataError comes at the end if they are too many. `keys` gets those of every valid row.
    """
    yield from valid_examples(read_rows(path), str(path), reading or AS_IT_STANDS, left_out, keys)


def valid_examples(
    rows: Iterable[Row],
    path: str,
    reading: Reading,
    left_out: list[str] | None = None,
    keys: Keys | None = None,
) -> Iterator[tuple[int, Example]]:
    """The same as read_examples, for rows that were read before."""
    read = bad = 0
    for row in rows:
        read += 1
        try:
            found = _read(row, reading)
        except BrokenRow as fault:
            said = f"{row.where(path)}: {fault.message} [{fault.rule}]"
            if not reading.skip or fault.whole:
                raise DataError(said) from None
            bad += 1
            if left_out is not None:
                left_out.append(said)
            continue
        if keys is not None:
            keys.add(row, found, reading)
        yield row.line, found.example
    if refused := reading.too_many(bad, read):
        raise DataError(f"{path}: {refused}")


def example_of(row: Row, reading: Reading) -> Example:
    """The row's common form; BrokenRow for an invalid row."""
    return _read(row, reading).example


def _read(row: Row, reading: Reading) -> ReadRow:
    if row.fault:
        raise row.fault
    found = read_stored(row, reading)
    canonical(found.example)
    return found


def canonical(example: Example) -> bytes:
    """The same bytes for all rows with the same meaning, whatever their format; BrokenRow for half a surrogate pair."""
    turns: list[dict[str, Any]] = [
        turn
        for name in ("messages", "prompt", "completion", "chosen", "rejected")
        for turn in example.get(name, ())
    ]
    parts = [f"{turn['role']}\x1e{turn['content']}" for turn in turns]
    plain = {"messages", "prompt", "chosen", "rejected", "text"} >= example.keys()
    if not plain or any(len(turn) > 2 for turn in turns):
        parts.append(_whole(example))
    if any("\0" in part for part in parts) or "\0" in example.get("text", ""):
        raise BrokenRow(
            "nul_bytes", "a text holds a NUL character (\\u0000), the sign of a damaged file; remove it"
        )
    try:
        return (example.get("text", "") + "\x1f".join(parts)).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise BrokenRow(
            "not_utf8",
            f"half a surrogate pair (\\u{ord(half):04x}) is not a character; take it out, or remove the row",
        ) from None


def _whole(example: Example) -> str:
    try:
        return json.dumps(example, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except ValueError:
        raise BrokenRow(
            "not_json",
            "a value is NaN (as pandas writes an empty cell) or Infinity, which is not JSON; write null or a number",
        ) from None
