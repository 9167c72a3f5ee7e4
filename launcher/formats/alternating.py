"""`alternating`: a chat as a list of texts, the first of which is the user's (UltraChat as it was published)."""

from typing import Any

from launcher.data.fields import plain_pairs, read_chat
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.formats.base import ABOUT, SYSTEM, Fields, Format

_KEYS = frozenset(("data", *SYSTEM, *ABOUT))


def _matches(row: Fields) -> bool:
    return "data" in row and not isinstance(row["data"], dict) and row.keys() <= _KEYS


def _read(row: Fields) -> Example:
    if not isinstance(row.get("data"), list) or not row["data"]:
        raise BrokenRow("type", "data is not a list of texts that alternate between user and assistant")
    return {"messages": read_chat(row, "data")}


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "alternating")
    row: dict[str, Any] = {"data": [text for pair in pairs for text in pair]}
    return {**row, "system": system} if system else row


SPEC = Format(
    keys=("data", *SYSTEM),
    kind="chat",
    precedence=92,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("system",),
    lists=("data",),
    example={"data": ["Hi", "Hello", "And?", "Bye"]},
    shape='`{"data": [question, answer, ...], "system"?}`: texts that alternate',
)
