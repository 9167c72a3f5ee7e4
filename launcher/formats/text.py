"""`text`: plain text, all of which is trained on."""

from typing import Any

from launcher.data.astext import holds_turns
from launcher.data.fields import read_string
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example, to_chat
from launcher.formats.base import Fields, Format


def _matches(row: Fields) -> bool:
    # a message of a tree of chats is not plain text
    return "text" in row and "message_tree_id" not in row and not ("parent_id" in row and "role" in row)


def _read(row: Fields) -> Example:
    if not read_string(row, "text").strip():
        raise BrokenRow("empty", "text is empty; remove the row")
    if holds_turns(row["text"]):
        raise BrokenRow(
            "type", "text holds the text of a list of turns; data.columns={messages: text} reads it as a chat"
        )
    return {"text": row["text"]}


def _write(example: Example) -> dict[str, Any]:
    if not all(trained for _, trained in example.get("parts", ())):
        raise BrokenRow(
            "format", "text is trained on as a whole, and parts of this row are not; use --to segments"
        )
    if "text" in example:
        return {"text": example["text"]}
    return {"text": "\n\n".join(turn["content"] for turn in to_chat(example)["messages"] if turn["content"])}


SPEC = Format(
    keys=("text",),
    kind="text",
    precedence=80,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("text", "chat", "pair", "labelled"),
    meanings={
        "text": (
            "content",
            "document",
            "body",
            "article",
            "passage",
            "story",
            "page",
            "sentence",
            "raw_content",
        )
    },
    example={"text": "Once upon a time."},
    shape='`{"text": ...}`',
    note=", all of it trained on",
)
