"""`text_label`: a text and the class that it belongs to, or several classes."""

from typing import Any

from launcher.data.astext import holds_turns
from launcher.data.classes import KEYS, read_labels
from launcher.data.fields import read_string
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.formats.base import Fields, Format


def _matches(row: Fields) -> bool:
    return "text" in row and ("label" in row or "labels" in row) and "message_tree_id" not in row


def _read(row: Fields) -> Example:
    if not read_string(row, "text").strip():
        raise BrokenRow("empty", "text is empty; remove the row")
    if holds_turns(row["text"]):
        raise BrokenRow(
            "type", "text is the text of a list of turns; data.columns={messages: text} reads it as a chat"
        )
    return {"text": row["text"], "labels": read_labels(row)}


def _write(example: Example) -> dict[str, Any]:
    if "text" not in example:
        raise BrokenRow("format", "text_label holds a text; use --to chat_label for chats with a label")
    return {"text": example["text"], **labels_as_key(example)}


def labels_as_key(example: Example) -> dict[str, Any]:
    """`label` for one class, `labels` for several."""
    labels: list[str] = example["labels"]
    return {"label": labels[0]} if len(labels) == 1 else {"labels": labels}


SPEC = Format(
    keys=("text", *KEYS),
    kind="classified",
    precedence=75,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("classified",),
    raw=KEYS,
    meanings={
        "text": (
            "sentence",
            "content",
            "document",
            "body",
            "review",
            "tweet",
            "utterance",
            "comment",
            "headline",
        ),
        "label": ("class", "sentiment", "intent", "topic", "emotion", "rating", "stars", "target"),
    },
    example={"text": "Where is my parcel?", "label": "delivery"},
    shape='`{"text": ..., "label": ...}`, or `"labels": [...]` with several',
    note=": its class, which `trainer=classify` learns",
)
