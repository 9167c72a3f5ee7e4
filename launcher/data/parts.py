"""Turns whose content is a list of parts with calls, results or thoughts, as the APIs of Anthropic and Bedrock have them."""

from collections.abc import Iterator
from typing import Any, cast

from launcher.data.findings import BrokenRow

TEXTS = ("text", "input_text", "output_text", "refusal", None)
"""Types of parts that hold a text; a part of Bedrock has no type."""
_THOUGHTS = {"thinking": "thinking", "reasoning": "text"}
"""Type of a part that is a thought -> the key of its text."""
_Dict = dict[str, Any]


def spread(turns: list[_Dict]) -> list[_Dict]:
    """The turns with their calls as tool_calls, their results as tool turns and their thoughts as reasoning_content.

    Turns without such parts are returned as they are. Source: Anthropic, Messages API, content blocks.
    """
    if not any(_kinds(turn) & _KNOWN for turn in turns):
        return turns
    return [one for turn in turns for one in _spread(turn)]


def _kinds(turn: _Dict) -> set[Any]:
    content: Any = turn.get("content")
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    return {cast("_Dict", part).get("type") for part in parts if isinstance(part, dict)}


def _spread(turn: _Dict) -> Iterator[_Dict]:
    if not _kinds(turn) & _KNOWN:
        yield turn
        return
    texts: list[Any] = []
    calls: list[_Dict] = list(turn.get("tool_calls") or [])
    thoughts: list[str] = []
    for part in cast("list[Any]", turn["content"]):
        values = cast("_Dict", part) if isinstance(part, dict) else {}
        kind = values.get("type")
        if kind == "tool_use":
            function: _Dict = {"name": values.get("name"), "arguments": values.get("input") or {}}
            calls.append({"id": values.get("id"), "function": function})
        elif kind == "tool_result":
            if texts:
                raise BrokenRow(
                    "role_order",
                    "a tool_result follows a text in one turn; write the results as the first parts",
                )
            yield {
                "role": "tool",
                "content": values.get("content") or "",
                "tool_call_id": values.get("tool_use_id"),
            }
        elif kind in _THOUGHTS:
            thoughts.append(str(values.get(_THOUGHTS[kind]) or ""))
        else:
            texts.append(part)
    rest = {name: value for name, value in turn.items() if name not in ("content", "tool_calls")}
    if texts or calls or thoughts:
        yield {
            **rest,
            "content": texts or None,
            **({"tool_calls": calls} if calls else {}),
            **({"reasoning_content": "\n".join(thoughts)} if any(thoughts) else {}),
        }


_KNOWN = {"tool_use", "tool_result", *_THOUGHTS}
