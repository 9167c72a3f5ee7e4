"""The formats of a row, each read into one of the common forms of launcher.data.kinds."""

import json
from collections.abc import Callable
from typing import Any, cast

from launcher.data.kinds import Example, untrained
from launcher.data.rules import BrokenRow, check_known
from launcher.data.turns import Message, check_order, check_prompt, read_turn, read_turns
from launcher.errors import unknown

ABOUT = (
    "id",
    "idx",
    "index",
    "source",
    "dataset",
    "category",
    "language",
    "lang",
    "metadata",
    "meta",
    "license",
)
"""Keys that say where a row comes from; any row may have them, and they are not trained on."""
_TOOLS = ("tools", "parallel_tool_calls")
REFERENCES = ("answer", "solution", "ground_truth", "reference")
"""Keys of a prompt that a reward function is given by their names."""
KEYS: dict[str, tuple[str, ...]] = {
    "messages": ("messages", *_TOOLS, "chat_template_kwargs"),
    "sharegpt": ("conversations", "system", "tools"),
    "preference": (
        *("prompt", "chosen", "rejected", "score_chosen", "score_rejected", *_TOOLS),
        *("input", "preferred_output", "non_preferred_output"),
    ),
    "prompt_completion": ("prompt", "completion"),
    "labelled": ("prompt", "completion", "label", *_TOOLS),
    "prompt": ("prompt", *REFERENCES),
    "alpaca": ("instruction", "input", "output", "system", "history"),
    "input_output": ("input", "output", "systemPrompt"),
    "text": ("text",),
}
FORMATS = tuple(KEYS)
_LABELS = {"true": True, "false": False, "1": True, "0": False}
"""What a label is given as, in JSON or in a cell of a table."""
_SPEAKERS = {
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


def detect(row: dict[str, Any]) -> str | None:
    """The format that a row's keys are of; None where they are of none."""
    if "messages" in row:
        return "messages"
    if "conversations" in row:
        return "sharegpt"
    if ("chosen" in row and "rejected" in row) or "preferred_output" in row:
        return "preference"
    if "prompt" in row and "completion" in row:
        return "labelled" if "label" in row else "prompt_completion"
    if "instruction" in row and "output" in row:
        return "alpaca"
    if "input" in row and "output" in row:
        return "input_output"
    if "text" in row:
        return "text"
    return "prompt" if "prompt" in row else None


def read_example(value: Any, asked: str = "auto") -> tuple[str, Example]:
    """The row's format and its common form; BrokenRow names the rule that it breaks."""
    if not isinstance(value, dict):
        raise BrokenRow(
            "not_object", f'a row is a {type(value).__name__}, not an object with a "messages" list'
        )
    row = cast("dict[str, Any]", value)
    name = detect(row) if asked == "auto" else asked
    if name is None:
        raise BrokenRow("format", f'no "messages" list, and {_no_format(row)}')
    for key in row:
        check_known(f"key of a {name} row", key, (*KEYS[name], *ABOUT))
    return name, _READERS[name](row)


def _no_format(row: dict[str, Any]) -> str:
    known = tuple(dict.fromkeys(key for keys in KEYS.values() for key in keys))
    odd = [key for key in row if key not in known and key not in ABOUT]
    if odd:
        return unknown("key", odd[0], known)
    return f"the keys {', '.join(row) or '(none)'} are of no format; known: {', '.join(FORMATS)}"


def _read_messages(row: dict[str, Any]) -> Example:
    turns = read_turns(row.get("messages"), "messages")
    check_order(turns)
    return _with_tools({"messages": turns}, row)


def _read_sharegpt(row: dict[str, Any]) -> Example:
    items = row.get("conversations")
    if not isinstance(items, list):
        raise BrokenRow("type", 'conversations is not a list of {"from": ..., "value": ...}')
    turns = [_read_speech(item) for item in cast("list[Any]", items)]
    turns = [*_system(row.get("system")), *turns]
    if not turns:
        raise BrokenRow("empty", "conversations is an empty list; take the row out")
    check_order(turns)
    return _with_tools({"messages": turns}, row)


def _read_speech(item: Any) -> Message:
    if not isinstance(item, dict):
        raise BrokenRow("type", 'a turn is not {"from": ..., "value": ...}')
    values = cast("dict[str, Any]", item)
    speaker = values.get("from")
    if speaker is None and "role" in values:
        return read_turn(values)
    if speaker not in _SPEAKERS:
        raise BrokenRow("role", f"from {speaker!r} must be one of {', '.join(_SPEAKERS)}")
    for name in values:
        check_known("key of a turn", name, ("from", "value", "weight"))
    turn: Message = {
        "role": _SPEAKERS[speaker],
        "content": values.get("value"),
        "weight": values.get("weight"),
    }
    if speaker == "function_call":
        try:
            turn |= {"content": None, "tool_calls": [json.loads(str(values.get("value")))]}
        except ValueError as error:
            raise BrokenRow("tool_call", f"a function_call is not JSON ({error})") from None
    return read_turn(turn)


def _read_preference(row: dict[str, Any]) -> Example:
    if "preferred_output" in row:  # OpenAI's spelling
        given = cast("dict[str, Any]", row.get("input")) if isinstance(row.get("input"), dict) else {}
        names = {"prompt": given.get("messages"), "chosen": row["preferred_output"]}
        row = {**names, "rejected": row.get("non_preferred_output"), "tools": given.get("tools")}
    chosen, rejected = (_side(row.get(name), name, "assistant") for name in ("chosen", "rejected"))
    if row.get("prompt") is None:
        prompt = _common(chosen, rejected)
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
        if not prompt or not chosen or not rejected:
            raise BrokenRow("format", "no prompt, and chosen and rejected do not begin with the same turns")
    else:
        prompt = _side(row["prompt"], "prompt", "user")
    for answer in (chosen, rejected):
        check_order([*prompt, *answer])
    return _with_tools({"prompt": prompt, "chosen": chosen, "rejected": rejected}, row)


def _read_prompt_completion(row: dict[str, Any]) -> Example:
    prompt = _side(row.get("prompt"), "prompt", "user")
    turns = [*untrained(prompt), *_side(row.get("completion"), "completion", "assistant")]
    check_order(turns)
    return {"messages": turns}


def _read_labelled(row: dict[str, Any]) -> Example:
    prompt, completion = (
        _side(row.get(name), name, role) for name, role in (("prompt", "user"), ("completion", "assistant"))
    )
    check_order([*prompt, *completion])
    given = row.get("label")
    label = _LABELS.get(str(given).lower())
    if label is None:
        raise BrokenRow("label", f"label {given!r} must be true (a good answer) or false (a bad one)")
    return _with_tools({"prompt": prompt, "completion": completion, "label": label}, row)


def _read_prompt(row: dict[str, Any]) -> Example:
    prompt = _side(row.get("prompt"), "prompt", "user")
    check_prompt(prompt)
    given = {name: row[name] for name in REFERENCES if row.get(name) is not None}
    return {"prompt": prompt, **given}


def _read_alpaca(row: dict[str, Any]) -> Example:
    question = _string(row, "instruction")
    if row.get("input"):
        question = f"{question}\n\n{_string(row, 'input')}".lstrip()
    turns = _system(row.get("system"))
    history: Any = row.get("history") or []
    if not isinstance(history, list):
        raise BrokenRow("type", "history is not a list of [question, answer]")
    for pair in cast("list[Any]", history):
        if not isinstance(pair, list) or len(cast("list[Any]", pair)) != 2:
            raise BrokenRow("type", "history is not a list of [question, answer]")
        turns += [_turn("user", pair[0]), _turn("assistant", pair[1])]
    return {"messages": [*turns, _turn("user", question), _turn("assistant", row.get("output"))]}


def _read_input_output(row: dict[str, Any]) -> Example:
    turns = [_turn("user", row.get("input")), _turn("assistant", row.get("output"))]
    return {"messages": [*_system(row.get("systemPrompt")), *turns]}


def _read_text(row: dict[str, Any]) -> Example:
    if not _string(row, "text").strip():
        raise BrokenRow("empty", "text is empty; take the row out")
    return {"text": row["text"]}


def _side(value: Any, key: str, role: str) -> list[Message]:
    """A string, one turn or a list of turns, as turns."""
    if value is None:
        raise BrokenRow("format", f"no {key}; give a string or a list of turns")
    if isinstance(value, str):
        return [_turn(role, value)]
    return read_turns([value] if isinstance(value, dict) else value, key)


def _common(one: list[Message], other: list[Message]) -> list[Message]:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    while length and one[length - 1]["role"] == "assistant":
        length -= 1  # the answer itself belongs to the sides, also where both give the same
    return one[:length]


def _system(value: Any) -> list[Message]:
    return [_turn("system", value)] if value else []


def _turn(role: str, content: Any) -> Message:
    return read_turn({"role": role, "content": content})


def _string(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise BrokenRow("type", f"{key} is {'null' if value is None else type(value).__name__}, not a string")
    return value


def _with_tools(example: Example, row: dict[str, Any]) -> Example:
    tools: Any = row.get("tools")
    if isinstance(tools, str) and tools:
        try:
            tools = json.loads(tools)
        except ValueError as error:
            raise BrokenRow("type", f"tools is not JSON ({error})") from None
    if not tools:
        return example
    if not isinstance(tools, list):
        raise BrokenRow("type", "tools is not a list of functions")
    return {**example, "tools": tools}


_READERS: dict[str, Callable[[dict[str, Any]], Example]] = {
    "messages": _read_messages,
    "sharegpt": _read_sharegpt,
    "preference": _read_preference,
    "prompt_completion": _read_prompt_completion,
    "labelled": _read_labelled,
    "prompt": _read_prompt,
    "alpaca": _read_alpaca,
    "input_output": _read_input_output,
    "text": _read_text,
}
