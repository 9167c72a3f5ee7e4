"""The examples of a data file in their common form; the first invalid row is an error."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from launcher.data.files import read_rows
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.read import read_row
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.data.row import Row
from launcher.errors import DataError


def read_examples(
    path: str | Path, reading: Reading | None = None, left_out: list[str] | None = None
) -> Iterator[tuple[int, Example]]:
    """Line and common form of every valid row.

    DataError names file, line and rule of the first invalid one, unless `reading` leaves invalid rows out: then `left_out`
    gets a line for each, and DataError comes at the end if they are too many.
    """
    yield from valid_examples(read_rows(path), str(path), "line", reading or AS_IT_STANDS, left_out)


def valid_examples(
    rows: Iterable[Row], path: str, counted: str, reading: Reading, left_out: list[str] | None = None
) -> Iterator[tuple[int, Example]]:
    """The same as read_examples, for rows that were read before; `counted`: what their numbers count, line or row."""
    read = bad = 0
    for row in rows:
        read += 1
        try:
            example = example_of(row, reading)
        except BrokenRow as fault:
            said = f"{row.where or f'{path}, {counted} {row.line}'}: {fault.message} [{fault.rule}]"
            if not reading.skip or fault.whole:
                raise DataError(said) from None
            bad += 1
            if left_out is not None:
                left_out.append(said)
            continue
        yield row.line, example
    if refused := reading.too_many(bad, read):
        raise DataError(f"{path}: {refused}")


def example_of(row: Row, reading: Reading) -> Example:
    """The row's common form; BrokenRow for an invalid row."""
    if row.fault:
        raise row.fault
    example = read_row(row.value, reading).example
    canonical(example)
    return example


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
            "not_utf8", f"half a surrogate pair (\\u{ord(half):04x}) is not a character"
        ) from None


def _whole(example: Example) -> str:
    try:
        return json.dumps(example, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except ValueError:
        raise BrokenRow(
            "not_json",
            "a value is NaN (as pandas writes an empty cell) or Infinity, which is not JSON; write null or a number",
        ) from None
