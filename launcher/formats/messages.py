"""`messages`: chats as lists of turns, as in OpenAI's API and trl."""

import json
from typing import Any

from launcher.data.fields import read_chat, with_tools
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.turns import Message
from launcher.formats.base import SYSTEM, TOOLS, Fields, Format


def _matches(row: Fields) -> bool:
    return "messages" in row


def _read(row: Fields) -> Example:
    example = with_tools({"messages": read_chat(row, "messages")}, row)
    arguments: Any = row.get("chat_template_kwargs")
    if arguments is not None and not isinstance(arguments, dict):
        raise BrokenRow(
            "type",
            'chat_template_kwargs is not an object such as {"enable_thinking": false}; write one, or take it out',
        )
    return {**example, "chat_template_kwargs": arguments} if arguments else example


def _write(example: Example) -> dict[str, Any]:
    return dict(example)


def _write_openai(example: Example) -> dict[str, Any]:
    """The row in OpenAI's spelling: arguments as a JSON string, null content with tool calls, an id on every call."""
    return {**example, "messages": [_openai_turn(turn) for turn in example["messages"]]}


def _openai_turn(turn: Message) -> Message:
    if "tool_calls" not in turn:
        return turn
    calls = [
        {
            "id": call.get("id", f"call_{number}"),
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False),
            },
        }
        for number, call in enumerate(turn["tool_calls"])
    ]
    return {**turn, "content": turn["content"] or None, "tool_calls": calls}


SPEC = Format(
    keys=("messages", *SYSTEM, *TOOLS, "chat_template_kwargs"),
    kind="chat",
    precedence=10,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    other_spellings={"openai": _write_openai},
    later_columns=("tools",),
    json_columns=("messages", "tools"),
    lists=("messages",),
    meanings={
        "messages": ("dialog", "dialogue", "dialogs", "chat", "turns", "chats", "conv", "message", "thread")
    },
    example={"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    shape='`{"messages": [{"role": ..., "content": ...}], "tools"?}`, as in OpenAI\'s API and trl',
)
