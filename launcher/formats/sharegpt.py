"""`sharegpt`: chats as lists of {"from", "value"}."""

import json
from typing import Any, cast

from launcher.data.fields import read_system, refuse_extras, with_tools
from launcher.data.kinds import Example
from launcher.data.rules import BrokenRow, check_known
from launcher.data.turns import Message, check_order, read_turn
from launcher.formats.base import Fields, Format

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
"""The role of each value of `from`."""
_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def _matches(row: Fields) -> bool:
    return "conversations" in row


def _read(row: Fields) -> Example:
    items = row.get("conversations")
    if not isinstance(items, list):
        raise BrokenRow("type", 'conversations is not a list of {"from": ..., "value": ...}')
    turns = [_read_turn(item) for item in cast("list[Any]", items)]
    turns = [*read_system(row.get("system")), *turns]
    if not turns:
        raise BrokenRow("empty", "conversations is an empty list; remove the row")
    check_order(turns)
    return with_tools({"messages": turns}, row)


def _read_turn(item: Any) -> Message:
    if not isinstance(item, dict):
        raise BrokenRow("type", 'a turn is not {"from": ..., "value": ...}')
    values = cast("dict[str, Any]", item)
    speaker = values.get("from")
    if speaker is None and "role" in values:
        return read_turn(values)
    if speaker not in _ROLES:
        raise BrokenRow("role", f"from {speaker!r} must be one of {', '.join(_ROLES)}")
    for name in values:
        check_known("key of a turn", name, ("from", "value", "weight"))
    turn: Message = {
        "role": _ROLES[speaker],
        "content": values.get("value"),
        "weight": values.get("weight"),
    }
    if speaker == "function_call":
        try:
            turn |= {"content": None, "tool_calls": [json.loads(str(values.get("value")))]}
        except ValueError as error:
            raise BrokenRow("tool_call", f"a function_call is not JSON ({error})") from None
    return read_turn(turn)


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
    keys=("conversations", "system", "tools"),
    kind="chat",
    precedence=20,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("tools",),
    json_columns=("conversations", "tools"),
    example={"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    shape='`{"conversations": [{"from": "human", "value": ...}, ...]}`',
)
