"""`input_output`: a question, its answer, and an optional system prompt."""

from typing import Any

from launcher.data.fields import plain_pair, read_side, read_system, read_systems, text_turn
from launcher.data.kinds import Example, untrained
from launcher.data.turns import check_order
from launcher.formats.base import SYSTEM, Fields, Format


def _matches(row: Fields) -> bool:
    return "input" in row and "output" in row


def _read(row: Fields) -> Example:
    asked, given = row.get("input"), row.get("output")
    answers = (
        read_side(given, "output", "assistant")
        if isinstance(given, list)
        else [text_turn(row, "output", "assistant")]
    )
    turns = (
        read_side(asked, "input", "user") if isinstance(asked, list) else [text_turn(row, "input", "user")]
    )
    system = [] if turns[0]["role"] == "system" else read_system(row.get("systemPrompt")) or read_systems(row)
    messages = [*system, *untrained(turns), *answers]
    check_order(messages)
    return {"messages": messages}


def _write(example: Example) -> dict[str, Any]:
    system, question, answer = plain_pair(example, "input_output")
    row = {"input": question, "output": answer}
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
    text_or_turns=("input", "output"),
    shape='`{"input", "output", "systemPrompt"?}`',
    note="; input and output can be turns, as in OpenAI's Responses",
)
