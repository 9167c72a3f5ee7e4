"""Turns in other spellings than {"role", "content"}: {"from", "value"}, and tool calls that are turns of their own."""

import json
from typing import Any, cast

from launcher.data.rules import BrokenRow

SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
"""The role of each value of `from`."""
ROLE_NAMES = {
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "function": "tool",
    "ipython": "tool",
    "observation": "tool",
    "tool_response": "tool",
}
"""Other names of roles in `role`."""
_CALLS = ("function_call", "tool_call")
_CALLED = "_called"


def as_role(turn: dict[str, Any]) -> dict[str, Any]:
    """The turn {"from", "value"} as {"role", "content"}; one that has a role already is returned as it is."""
    if "role" in turn or "from" not in turn:
        return turn
    speaker = turn["from"]
    if not isinstance(speaker, str) or speaker not in SPEAKERS:
        raise BrokenRow("role", f"from {speaker!r} must be one of {', '.join(SPEAKERS)}")
    role = SPEAKERS[speaker]
    weight = {} if turn.get("weight") is None else {"weight": turn["weight"]}
    if speaker in _CALLS:
        return {
            "role": role,
            "content": None,
            "tool_calls": _calls(turn.get("value")),
            **weight,
            _CALLED: True,
        }
    return {"role": role, "content": turn.get("value"), **weight}


def _calls(value: Any) -> list[Any]:
    """The calls of one turn: an object, a list of objects, or either as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BrokenRow("tool_call", f"a function_call is not JSON ({error})") from None
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def join_calls(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns with calls that follow each other in one turn: calls that one turn of the assistant makes in parallel.

    A call joins the text of the assistant before it, too. `turns` are those of as_role; calls that were given in a turn's own
    tool_calls are not joined.
    """
    joined: list[dict[str, Any]] = []
    for turn in turns:
        called = turn.get(_CALLED)
        before = joined[-1] if joined else None
        if called and before and before["role"] == "assistant" and before.get("weight") == turn.get("weight"):
            calls = [*before.get("tool_calls", []), *turn["tool_calls"]]
            joined[-1] = {**before, "tool_calls": calls}
        else:
            joined.append(
                {name: value for name, value in turn.items() if name != _CALLED} if called else turn
            )
    return joined
