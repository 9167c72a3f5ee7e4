"""`alpaca`: an instruction, an optional input below it, and the output."""

from typing import Any, cast

from launcher.data.fields import make_turn, plain_pairs, read_below, read_systems, text_turn
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.formats.base import SYSTEM, Fields, Format


def _matches(row: Fields) -> bool:
    return "instruction" in row and "output" in row


def _read(row: Fields) -> Example:
    question = read_below(row, "instruction", "input")
    turns = read_systems(row)
    history: Any = row.get("history") or []
    if not isinstance(history, list):
        raise BrokenRow("type", "history is not a list of [question, answer]")
    for pair in cast("list[Any]", history):
        if not isinstance(pair, list) or len(cast("list[Any]", pair)) != 2:
            raise BrokenRow("type", "history is not a list of [question, answer]")
        turns += [make_turn("user", pair[0]), make_turn("assistant", pair[1])]
    return {"messages": [*turns, make_turn("user", question), text_turn(row, "output", "assistant")]}


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "alpaca")
    *history, (question, answer) = pairs
    row: dict[str, Any] = {"instruction": question, "input": "", "output": answer}
    if system:
        row["system"] = system
    if history:
        row["history"] = [list(pair) for pair in history]
    return row


SPEC = Format(
    keys=("instruction", "input", "output", "history", *SYSTEM),
    kind="chat",
    precedence=60,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("system", "history"),
    json_columns=("history",),
    example={"instruction": "Translate.", "input": "Haus", "output": "house"},
    shape='`{"instruction", "input"?, "output", "system"?, "history"?}`',
    note="; input is put below the instruction",
)
