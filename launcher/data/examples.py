"""The examples of a data file in their common form; the first invalid row is an error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launcher.data.files import Row, read_rows
from launcher.data.kinds import Example
from launcher.data.read import read_example
from launcher.data.rules import BrokenRow
from launcher.errors import DataError


def read_examples(path: Path, asked: str = "auto") -> Iterator[tuple[int, Example]]:
    """Line and common form of every row; DataError names file, line and rule of the first invalid one."""
    for row in read_rows(path):
        try:
            yield row.line, example_of(row, asked)
        except BrokenRow as fault:
            raise DataError(f"{path}, line {row.line}: {fault.message} [{fault.rule}]") from None


def example_of(row: Row, asked: str) -> Example:
    """The row's common form; BrokenRow for an invalid row."""
    if row.fault:
        raise row.fault
    _, example = read_example(row.value, asked)
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
        parts.append(json.dumps(example, ensure_ascii=False, sort_keys=True))
    try:
        return (example.get("text", "") + "\x1f".join(parts)).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise BrokenRow(
            "not_utf8", f"half a surrogate pair (\\u{ord(half):04x}) is not a character"
        ) from None
