"""`conversation`: a chat as a list of {"input", "output"} rounds, or of turns, under this name."""

from typing import Any, cast

from launcher.data.fields import make_turn, plain_pairs, read_chat, read_systems
from launcher.data.kinds import Example
from launcher.data.rules import BrokenRow
from launcher.data.turns import Message, check_order
from launcher.formats.base import SYSTEM, Fields, Format


def _matches(row: Fields) -> bool:
    return "conversation" in row


def _read(row: Fields) -> Example:
    items: Any = row.get("conversation")
    if not isinstance(items, list) or not items:
        raise BrokenRow("type", 'conversation is not a list of {"input": ..., "output": ...} or of turns')
    first: Any = cast("list[Any]", items)[0]
    if not (isinstance(first, dict) and "output" in first):
        return {"messages": read_chat(row, "conversation")}
    turns = list(read_systems(row))
    for item in cast("list[Any]", items):
        turns += _read_round(item)
    check_order(turns)
    return {"messages": turns}


def _read_round(item: Any) -> list[Message]:
    values = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
    if set(values) != {"input", "output"}:
        raise BrokenRow(
            "type",
            f'a round is {{"input": ..., "output": ...}}, but one has {", ".join(values) or "no keys"}',
        )
    return [make_turn("user", values["input"]), make_turn("assistant", values["output"])]


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "conversation")
    row: dict[str, Any] = {
        "conversation": [{"input": question, "output": answer} for question, answer in pairs]
    }
    return {**row, "system": system} if system else row


SPEC = Format(
    keys=("conversation", *SYSTEM),
    kind="chat",
    precedence=25,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("system",),
    json_columns=("conversation",),
    lists=("conversation",),
    example={"conversation": [{"input": "Hi", "output": "Hello"}, {"input": "And?", "output": "Bye"}]},
    shape='`{"conversation": [{"input": ..., "output": ...}, ...], "system"?}`, or turns in it',
)
