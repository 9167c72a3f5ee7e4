"""Reading and writing the fields of rows as plain JSON values; all formats use it."""

import json
from collections.abc import Mapping
from typing import Any, cast

from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.reorder import naming
from launcher.data.row import value_in
from launcher.data.speakers import as_turns, keys_of
from launcher.data.transcript import is_chat
from launcher.data.turns import Message, check_order, read_turn, read_turns
from launcher.data.within import dig
from launcher.formats.base import SYSTEM


def read_side(value: Any, key: str, role: str) -> list[Message]:
    """The turns of a field that holds a string, one turn or a list of turns; a string becomes a turn of `role`."""
    if value is None:
        raise BrokenRow("format", f"no {key}; give a string or a list of turns")
    if isinstance(value, str):
        return [make_turn(role, value)]
    is_object = (
        isinstance(value, dict)
        and keys_of({str(name).lower(): 0 for name in cast("dict[str, Any]", value)}) is None
    )
    if is_object or not isinstance(value, list | dict):
        return [make_turn(role, read_string({key: value}, key))]
    return read_turns([value] if isinstance(value, dict) else value, key)


def read_chat(row: Mapping[str, Any], key: str) -> list[Message]:
    """The turns of a chat in their order, with the system prompt that stands beside them in the row, if one does."""
    value = row.get(key)
    if isinstance(value, str) and is_chat(value):
        raise BrokenRow(
            "type",
            f"{key} is one text with marks before its turns, not a list; data.columns={{transcript: {key}}} splits it",
        )
    turns = read_turns(as_turns(value, key), key)
    beside = read_systems(row)
    if beside and turns[0] != beside[0]:
        turns = [*beside, *turns]
    check_order(turns, naming(key, value))
    return turns


def read_system(value: Any) -> list[Message]:
    """The system turn of a field that holds a system prompt; no turn if the field is empty."""
    return [make_turn("system", value)] if value and (not isinstance(value, str) or value.strip()) else []


def read_systems(row: Mapping[str, Any]) -> list[Message]:
    """The system turn of a row with a system prompt under one of its names; no turn if it has none."""
    return read_system(next((row[name] for name in SYSTEM if row.get(name)), None))


def read_history(row: Mapping[str, Any]) -> list[Message]:
    """The turns before the question: the row's history, a list of [question, answer]; none without one."""
    history: Any = row.get("history") or []
    pairs = cast("list[Any]", history) if isinstance(history, list) else [None]
    turns: list[Message] = []
    for pair in pairs:
        if not isinstance(pair, list) or len(cast("list[Any]", pair)) != 2:
            raise BrokenRow("type", "history is not a list of [question, answer]")
        turns += [make_turn("user", pair[0]), make_turn("assistant", pair[1])]
    return turns


def read_below(row: Mapping[str, Any], key: str, below: str) -> str:
    """The text of a field, and below it that of another one, unless that is empty or missing."""
    text = read_string(row, key)
    if row.get(below):
        text = f"{text}\n\n{read_string(row, below)}".lstrip()
    return text


def make_turn(role: str, content: Any) -> Message:
    """A checked turn."""
    return read_turn({"role": role, "content": content})


def text_turn(row: Mapping[str, Any], key: str, role: str) -> Message:
    """The turn of a field that holds one text; BrokenRow for another type, with what is in it and how it is named."""
    return make_turn(role, read_string(row, key))


def read_string(row: Mapping[str, Any], key: str) -> str:
    """The field's text; BrokenRow for another type."""
    value: Any = row.get(key)
    if isinstance(value, str):
        return value
    if value is None:
        raise BrokenRow(
            "type", f"{key} is empty (null, NaN or an empty cell), not a text; fill it, or remove the row"
        )
    inner: list[str] = []
    if isinstance(value, dict):
        inner = [str(name) for name in cast("dict[str, Any]", value)]
    elif isinstance(value, list):
        inner = [str(number) for number in range(len(cast("list[Any]", value)))]
    if not inner:
        if isinstance(value, int | float) and not isinstance(value, bool):
            way = f"jq -c '.{key} |= tostring' OLD.jsonl > NEW.jsonl"
            raise BrokenRow("type", f"{key} is a number, not a text; write the text: {way}")
        kind = type(cast("object", value)).__name__
        raise BrokenRow("type", f"{key} is {kind} ({value!r:.40}), not a string; write the text")
    kind = f"an object of {', '.join(inner[:6])}" if isinstance(value, dict) else f"a list of {len(inner)}"
    texts = [name for name in inner if isinstance(dig(row, f"{key}.{name}"), str)]
    ways: list[str] = []
    if texts or isinstance(value, list):
        ways.append(f"name the place of its text: data.columns={{{key}: {key}.{[*texts, *inner][0]}}}")
    if isinstance(value, dict):
        ways.append(f"write its JSON as the text: jq -c '.{key} |= tojson' OLD.jsonl > NEW.jsonl")
    raise BrokenRow("type", f"{key} is {kind}, not a string; {', or '.join(ways)}")


_LABELS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
"""Spellings of a label, in JSON or in a cell of a table; pandas writes 1.0 where a cell of the column is empty."""


def read_label(row: Mapping[str, Any], key: str) -> bool:
    """Whether a row's answer is a good one, by the field's value; BrokenRow for a value that does not say it."""
    given: Any = row.get(key)
    label = _LABELS.get(str(given).lower())
    if label is None:
        way = f"if {given!r} is good: jq -c '.{key} = (.{key} == {json.dumps(given)})' OLD.jsonl > NEW.jsonl"
        if given is None:
            way = "leave such rows out with data.on_bad_row=skip and a data.max_bad_share that allows them, or fill it"
        raise BrokenRow("label", f"{key} {given!r} must be true (a good answer) or false (a bad one); {way}")
    return label


def with_tools(example: Example, row: Mapping[str, Any]) -> Example:
    """The example with the tools of the row, if it has some: a list of functions, or that list as a JSON string.

    `functions` is OpenAI's name for them before `tools`.
    """
    key = "tools" if row.get("tools") else "functions"
    tools: Any = row.get(key)
    if isinstance(tools, str) and tools.strip():
        try:
            tools = value_in(tools)
        except ValueError as error:
            raise BrokenRow("type", f"{key} is not JSON ({error})") from None
    if not tools:
        return example
    if not isinstance(tools, list):
        raise BrokenRow("type", f"{key} is not a list of functions")
    if key == "functions":
        tools = [_as_tool(one) for one in cast("list[Any]", tools)]
    return {**example, "tools": tools}


def _as_tool(function: Any) -> Any:
    """A function of OpenAI's older `functions` as one of `tools`."""
    if not isinstance(function, dict):
        return function
    values = cast("dict[str, Any]", function)
    return values if "function" in values else {"type": "function", "function": values}


def plain_pairs(example: Example, name: str) -> tuple[str, list[tuple[str, str]]]:
    """The system prompt of a chat, and question and answer of each round; BrokenRow if a turn is more than its text.

    `name` is the format that is written; the error names it.
    """
    turns: list[Message] = example["messages"]
    for extra in ("tools", "chat_template_kwargs"):
        if extra in example:
            raise BrokenRow("format", f"{name} cannot hold {extra}; use --to messages")
    for turn in turns:
        refuse_extras(turn, name, ("name", "tool_calls", "tool_call_id", "reasoning_content", "thinking"))
        if turn.get("weight", 1) == 0:
            raise BrokenRow("format", f"{name} cannot hold weight 0; use --to messages")
    system = turns[0]["content"] if turns[0]["role"] == "system" else ""
    texts = [turn["content"] for turn in turns[bool(system) :]]
    return system, list(zip(texts[::2], texts[1::2], strict=True))


def plain_pair(example: Example, name: str) -> tuple[str, str, str]:
    """The system prompt, the question and the answer of a chat of one round; BrokenRow as `plain_pairs`, and for several."""
    system, pairs = plain_pairs(example, name)
    if len(pairs) > 1:
        raise BrokenRow(
            "format", f"{name} holds one answer, but this chat has {len(pairs)}; use --to messages"
        )
    return system, *pairs[0]


def refuse_extras(turn: Message, name: str, extras: tuple[str, ...]) -> None:
    """BrokenRow if the turn has one of these keys, which format `name` cannot hold."""
    for extra in extras:
        if extra in turn:
            raise BrokenRow(
                "format", f"{name} cannot hold {extra} of a {turn['role']} turn; use --to messages"
            )


def without_weight(turn: Message) -> Message:
    """The turn without its weight."""
    return {key: value for key, value in turn.items() if key != "weight"}


def as_strings(example: Example, names: tuple[str, ...]) -> dict[str, Any] | None:
    """The text of each side; None if a side is more than one plain turn, or if the prompt is not a user turn."""
    sides = {name: cast("list[Message]", example[name]) for name in names}
    flat = all(len(turns) == 1 and set(turns[0]) == {"role", "content"} for turns in sides.values())
    if flat and sides["prompt"][0]["role"] == "user":
        return {name: turns[0]["content"] for name, turns in sides.items()}
    return None
