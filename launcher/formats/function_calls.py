"""`function_calls`: a question, the tools, and the calls that answer it (xLAM, APIGen)."""

import json
from typing import Any, cast

from launcher.data.fields import make_turn, read_systems, with_tools
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.row import value_in
from launcher.data.turns import check_order, read_turns
from launcher.formats.base import SYSTEM, TOOLS, Fields, Format

_TYPES = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "tuple": "array", "set": "array",
    "dict": "object",
}  # fmt: skip
"""Python's names of types -> those of JSON schema."""


def _matches(row: Fields) -> bool:
    return "query" in row and "answers" in row and "tools" in row


def _read(row: Fields) -> Example:
    calls = _list_of(row.get("answers"), "answers")
    if not calls:
        raise BrokenRow("format", "answers contains no call; give a list of {name, arguments}")
    tools = [_as_schema(tool) for tool in _list_of(row.get("tools"), "tools")]
    called = [{"type": "function", "function": call} for call in calls]
    answer = read_turns([{"role": "assistant", "content": "", "tool_calls": called}], "answers")
    turns = [*read_systems(row), make_turn("user", row.get("query")), *answer]
    check_order(turns)
    return with_tools({"messages": turns}, {"tools": tools})


def _list_of(value: Any, name: str) -> list[dict[str, Any]]:
    """The objects of a list, which can also be given as JSON text."""
    if isinstance(value, str):
        try:
            value = value_in(value)
        except ValueError as error:
            raise BrokenRow("type", f"{name} is not JSON ({error})") from None
    items = cast("list[Any]", value) if isinstance(value, list) else [None]
    if any(not isinstance(item, dict) for item in items):
        raise BrokenRow("type", f"{name} is not a list of objects with a name")
    return cast("list[dict[str, Any]]", items)


def _as_schema(tool: dict[str, Any]) -> dict[str, Any]:
    """The tool as JSON schema; in these data sets, parameters are a mapping from names to facts with Python's type names."""
    if "function" in tool:
        return tool
    given: Any = tool.get("parameters")
    if not isinstance(given, dict) or "properties" in given:
        return {"type": "function", "function": tool}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, about in cast("dict[str, Any]", given).items():
        facts: dict[str, Any] = dict(cast("dict[str, Any]", about)) if isinstance(about, dict) else {}
        spelt = str(facts.get("type", "str"))
        facts["type"] = _type_of(spelt)
        properties[name] = facts
        if "optional" not in spelt and "default" not in facts:
            required.append(name)
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {**tool, "parameters": schema}}


def _type_of(spelt: str) -> str:
    word = spelt.partition(",")[0].partition("[")[0].strip()
    return _TYPES.get(
        word.lower(), "array" if word == "List" else "object" if word == "Dict" else word or "string"
    )


def _write(example: Example) -> dict[str, Any]:
    turns: list[dict[str, Any]] = list(example["messages"])
    system = turns.pop(0)["content"] if turns[0]["role"] == "system" else ""
    if len(turns) != 2 or not turns[1].get("tool_calls") or turns[1].get("content"):
        raise BrokenRow(
            "format", "function_calls holds one question that is answered only by calls; use --to messages"
        )
    calls = [call["function"] for call in turns[1]["tool_calls"]]
    row = {
        "query": turns[0]["content"],
        "answers": json.dumps(calls, ensure_ascii=False),
        "tools": json.dumps(example.get("tools", []), ensure_ascii=False),
    }
    return {**row, "system": system} if system else row


SPEC = Format(
    keys=("query", "answers", *SYSTEM, *TOOLS),
    kind="chat",
    precedence=12,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat",),
    later_columns=("system",),
    json_columns=("tools", "answers"),
    example={
        "query": "Tides in Oslo?",
        "answers": '[{"name": "tides", "arguments": {"port": "Oslo"}}]',
        "tools": '[{"name": "tides", "description": "Tides", "parameters": {"port": {"type": "str"}}}]',
    },
    shape='`{"query", "answers": [{"name", "arguments"}], "tools"}`: lists, or JSON as text',
    note="; parameters by name become a JSON schema",
)
