"""`alpaca`: an instruction, an optional input below it, and the output."""

from typing import Any, cast

from launcher.data.fields import make_turn, plain_pairs, read_below, read_history, read_systems, text_turn
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.formats.base import SYSTEM, Fields, Format


def _matches(row: Fields) -> bool:
    return "instruction" in row and "output" in row


def _read(row: Fields) -> Example:
    given: Any = row.get("output")
    if isinstance(given, list) and len(cast("list[Any]", given)) == 2:
        raise BrokenRow(
            "type",
            "output is a list of two answers; if the first one is the better (LLaMA-Factory's ranking), read them as a pair: "
            "data.columns={chosen: output.0, rejected: output.1}",
        )
    question = read_below(row, "instruction", "input")
    turns = [*read_systems(row), *read_history(row)]
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
