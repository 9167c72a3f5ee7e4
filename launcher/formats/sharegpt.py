"""`sharegpt`: chats as lists of {"from", "value"}."""

import json
from typing import Any

from launcher.data.fields import read_chat, refuse_extras, with_tools
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.formats.base import SYSTEM, TOOLS, Fields, Format

_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def _matches(row: Fields) -> bool:
    return "conversations" in row


def _read(row: Fields) -> Example:
    if not isinstance(row.get("conversations"), list | str):
        raise BrokenRow("type", 'conversations is not a list of {"from": ..., "value": ...}')
    return with_tools({"messages": read_chat(row, "conversations")}, row)


def _write(example: Example) -> dict[str, Any]:
    written: list[dict[str, Any]] = []
    for turn in example["messages"]:
        refuse_extras(turn, "sharegpt", ("name", "reasoning_content", "thinking"))
        weight = {"weight": turn["weight"]} if "weight" in turn else {}
        calls = turn.get("tool_calls", [])
        if len(calls) > 1 or (calls and turn["content"]):
            raise BrokenRow("format", "a sharegpt turn is one text or one tool call; use --to messages")
        if calls:
            value = json.dumps(calls[0]["function"], ensure_ascii=False)
            written.append({"from": "function_call", "value": value, **weight})
        else:
            written.append({"from": _FROM[turn["role"]], "value": turn["content"], **weight})
    tools = {"tools": json.dumps(example["tools"], ensure_ascii=False)} if "tools" in example else {}
    return {"conversations": written, **tools}


SPEC = Format(
    keys=("conversations", *SYSTEM, *TOOLS),
    kind="chat",
    precedence=20,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("tools",),
    json_columns=("conversations", "tools"),
    lists=("conversations",),
    example={"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    shape='`{"conversations": [{"from": "human", "value": ...}, ...]}`',
)
