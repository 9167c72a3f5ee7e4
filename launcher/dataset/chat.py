"""Chat `messages` JSONL: one {"messages": [{"role": ..., "content": ...}, ...]} a line."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

from launcher.errors import DataError

ROLES = ("system", "user", "assistant", "tool")


def read_chats(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the file, each {"messages": [...]}; DataError names file, line and rule.

    A byte-order mark, CRLF and blank lines are read over.
    """
    try:
        file = path.open(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; check data.path and data.eval_path"
        ) from None
    with file:
        number = 0
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse(path, number, line)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, after line {number}: not UTF-8 ({error.reason}); convert the file with iconv"
            ) from None


def check_head(path: Path, rows: int) -> int:
    """The number of rows read, `rows` at most; DataError for the first wrong one, and for none at all."""
    count = sum(1 for _ in islice(read_chats(path), rows))
    if not count:
        raise DataError(f'{path} holds no rows; it must have one {{"messages": [...]}} a line')
    return count


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    where = f"{path}, line {number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}); a row is one JSON object on one line") from None
    messages: Any = cast("dict[str, Any]", row).get("messages") if isinstance(row, dict) else None
    if not isinstance(messages, list) or not messages:
        raise DataError(
            f'{where}: no "messages" list; a row is '
            '{"messages": [{"role": "user", "content": "..."}, ...]}'
        )
    clean = [_message(where, message) for message in cast("list[Any]", messages)]
    if not any(message["role"] == "assistant" for message in clean):
        raise DataError(f"{where}: no assistant turn, so there is nothing to train on; add the answer")
    return {"messages": clean}


def _message(where: str, message: Any) -> dict[str, str]:
    values = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
    role, content = values.get("role"), values.get("content")
    if role not in ROLES:
        raise DataError(f"{where}: role {role!r} must be one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise DataError(f"{where}: the content of a {role} turn is {type(content).__name__}, not a string")
    return {"role": role, "content": content}
