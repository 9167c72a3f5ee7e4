"""`kto_tag`: LLaMA-Factory's rows for KTO: an Alpaca row or a chat, whose answer is good or bad by `kto_tag`."""

from typing import Any

from launcher.data.fields import (
    make_turn,
    read_below,
    read_chat,
    read_history,
    read_label,
    read_systems,
    text_turn,
)
from launcher.data.kinds import Example
from launcher.data.turns import Message, check_answer
from launcher.formats.base import SYSTEM, Fields, Format

_CHATS = ("messages", "conversations")


def _matches(row: Fields) -> bool:
    return "kto_tag" in row and (
        ("instruction" in row and "output" in row) or any(name in row for name in _CHATS)
    )


def _read(row: Fields) -> Example:
    label = read_label(row, "kto_tag")
    turns = _turns(row)
    check_answer(turns[-1:], "the last turn")
    return {"prompt": turns[:-1], "completion": turns[-1:], "label": label}


def _turns(row: Fields) -> list[Message]:
    chat = next((name for name in _CHATS if name in row), None)
    if chat:
        return read_chat(row, chat)
    asked = make_turn("user", read_below(row, "instruction", "input"))
    return [*read_systems(row), *read_history(row), asked, text_turn(row, "output", "assistant")]


def _write(example: Example) -> dict[str, Any]:
    return {"messages": [*example["prompt"], *example["completion"]], "kto_tag": example["label"]}


SPEC = Format(
    keys=("instruction", "input", "output", "history", *_CHATS, "kto_tag", *SYSTEM),
    kind="labelled",
    precedence=5,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("labelled",),
    json_columns=("messages", "history"),
    lists=_CHATS,
    example={"instruction": "Greet.", "input": "", "output": "Hello", "kto_tag": True},
    shape='`{"instruction", "input"?, "output", "kto_tag"}` or `{"messages", "kto_tag"}`, as in LLaMA-Factory',
)
