"""`transcript`: a chat as one text whose turns have marks; data.columns={transcript: text} reads a column this way."""

from typing import Any

from launcher.data.fields import plain_pairs, read_string, read_systems
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.transcript import turns_of
from launcher.formats.base import SYSTEM, Fields, Format


def _matches(row: Fields) -> bool:
    return "transcript" in row


def _read(row: Fields) -> Example:
    turns = turns_of(read_string(row, "transcript"), "transcript")
    return {"messages": turns if turns[0]["role"] == "system" else [*read_systems(row), *turns]}


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "transcript")
    text = "\n\n".join(f"Human: {question}\n\nAssistant: {answer}" for question, answer in pairs)
    row = {"transcript": text, "system": system} if system else {"transcript": text}
    if _read(row)["messages"] != example["messages"]:
        raise BrokenRow(
            "format", "a turn of this chat holds text that would mark another one; use --to messages"
        )
    return row


SPEC = Format(
    keys=("transcript", *SYSTEM),
    kind="chat",
    precedence=26,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("system",),
    example={"transcript": "Human: Hi\n\nAssistant: Hello"},
    shape='`{"transcript": "Human: ... Assistant: ...", "system"?}`: one text with the marks of ChatML, Alpaca, Vicuna, ...',
)
