"""`chat_label`: a chat and the class that it belongs to, or several classes."""

from typing import Any

from launcher.data.classes import KEYS, read_labels
from launcher.data.fields import read_systems
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.speakers import as_turns
from launcher.data.turns import read_turns
from launcher.formats.base import SYSTEM, Fields, Format
from launcher.formats.text_label import labels_as_key


def _matches(row: Fields) -> bool:
    return "messages" in row and ("label" in row or "labels" in row)


def _read(row: Fields) -> Example:
    turns = read_turns(as_turns(row.get("messages"), "messages"), "messages")
    beside = read_systems(row)
    if beside and turns[0] != beside[0]:
        turns = [*beside, *turns]
    return {"messages": turns, "labels": read_labels(row)}


def _write(example: Example) -> dict[str, Any]:
    if "messages" not in example:
        raise BrokenRow("format", "chat_label holds a chat; use --to text_label for texts with a label")
    return {"messages": example["messages"], **labels_as_key(example)}


SPEC = Format(
    keys=("messages", *SYSTEM, *KEYS),
    kind="classified",
    precedence=9,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("classified",),
    json_columns=("messages",),
    lists=("messages",),
    raw=KEYS,
    example={"messages": [{"role": "user", "content": "Where is my parcel?"}], "label": "delivery"},
    shape='`{"messages": [...], "label": ...}`: a chat that can end with any turn, and its class',
    note=", for `trainer=classify`",
)
