"""`input_output`: a question, its answer, and an optional system prompt."""

from typing import Any

from launcher.data.fields import make_turn, plain_pairs, read_system, read_systems
from launcher.data.kinds import Example
from launcher.data.rules import BrokenRow
from launcher.formats.base import SYSTEM, Fields, Format


def _matches(row: Fields) -> bool:
    return "input" in row and "output" in row


def _read(row: Fields) -> Example:
    turns = [make_turn("user", row.get("input")), make_turn("assistant", row.get("output"))]
    system = read_system(row.get("systemPrompt")) or read_systems(row)
    return {"messages": [*system, *turns]}


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "input_output")
    if len(pairs) > 1:
        raise BrokenRow(
            "format", f"input_output holds one answer, but this chat has {len(pairs)}; use --to messages"
        )
    row = {"input": pairs[0][0], "output": pairs[0][1]}
    return {**row, "systemPrompt": system} if system else row


SPEC = Format(
    keys=("input", "output", "systemPrompt", *SYSTEM),
    kind="chat",
    precedence=70,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("systemPrompt",),
    example={"input": "Hi", "output": "Hello", "systemPrompt": "Be short."},
    shape='`{"input", "output", "systemPrompt"?}`',
)
