"""`dolly`: an instruction, an optional context below it, and the response."""

from typing import Any

from launcher.data.fields import make_turn, plain_pair, read_below, read_systems, text_turn
from launcher.data.kinds import Example
from launcher.formats.base import SYSTEM, Fields, Format


def _matches(row: Fields) -> bool:
    return "instruction" in row and "response" in row and "output" not in row


def _read(row: Fields) -> Example:
    question = read_below(row, "instruction", "context" if row.get("context") else "input")
    turns = [make_turn("user", question), text_turn(row, "response", "assistant")]
    return {"messages": [*read_systems(row), *turns]}


def _unread(row: Fields) -> tuple[str, ...]:
    return ("input",) if row.get("context") and row.get("input") else ()


def _write(example: Example) -> dict[str, Any]:
    system, question, answer = plain_pair(example, "dolly")
    row = {"instruction": question, "context": "", "response": answer}
    return {**row, "system": system} if system else row


SPEC = Format(
    keys=("instruction", "context", "input", "response", *SYSTEM),
    kind="chat",
    precedence=62,
    matches=_matches,
    read=_read,
    unread=_unread,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("system",),
    example={"instruction": "Translate.", "context": "Haus", "response": "house"},
    shape='`{"instruction", "context"?, "response", "system"?}`',
    note="; context is put below the instruction",
)
