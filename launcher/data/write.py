"""Common forms -> rows of a named format. What a format cannot hold is refused, never dropped in silence."""

import json
from collections.abc import Callable
from typing import Any

from launcher.data.kinds import Example, kind_of, to_chat
from launcher.data.rules import BrokenRow
from launcher.data.turns import Message, is_trained

_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def write_row(example: Example, name: str) -> dict[str, Any]:
    """The row of format `name`; BrokenRow where the format has no place for something in it."""
    kind = kind_of(example)
    if name == "preference" and kind != "pair":
        raise BrokenRow("format", f"a {kind} has no rejected answer; only pairs can be written as preference")
    if name == "labelled" and kind != "labelled":
        raise BrokenRow("format", f"a {kind} has no label; only labelled answers can be written as labelled")
    if name in ("text", "preference", "labelled") and kind != "prompt":
        return _WRITERS[name](example)
    if kind == "text":
        raise BrokenRow("format", "plain text has no turns; only --to text can hold it")
    if name == "prompt":
        return _prompt(example)
    if kind == "prompt":
        raise BrokenRow("format", "a prompt has no answer; only --to prompt can hold it")
    if kind == "labelled" and not example["label"]:
        raise BrokenRow("format", f"{name} cannot hold that an answer is a bad one; use --to labelled")
    return _WRITERS[name](to_chat(example))


def _messages(example: Example) -> dict[str, Any]:
    return dict(example)


def _openai(example: Example) -> dict[str, Any]:
    """OpenAI's spelling: arguments as a JSON string, null content beside tool calls, an id on every call."""
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


def _sharegpt(example: Example) -> dict[str, Any]:
    speeches: list[dict[str, Any]] = []
    for turn in example["messages"]:
        _refuse_extras(turn, "sharegpt", ("name", "reasoning_content", "thinking"))
        weight = {"weight": turn["weight"]} if "weight" in turn else {}
        calls = turn.get("tool_calls", [])
        if len(calls) > 1 or (calls and turn["content"]):
            raise BrokenRow("format", "a sharegpt turn is one text or one tool call; use --to messages")
        if calls:
            value = json.dumps(calls[0]["function"], ensure_ascii=False)
            speeches.append({"from": "function_call", "value": value, **weight})
        else:
            speeches.append({"from": _FROM[turn["role"]], "value": turn["content"], **weight})
    tools = {"tools": json.dumps(example["tools"], ensure_ascii=False)} if "tools" in example else {}
    return {"conversations": speeches, **tools}


def _prompt_completion(example: Example) -> dict[str, Any]:
    """Strings for one question and its answer; else lists of turns, all but the last in the prompt."""
    turns: list[Message] = example["messages"]
    if "tools" in example:
        raise BrokenRow("format", "prompt_completion cannot hold tools; use --to messages")
    if not is_trained(turns[-1]) or any(is_trained(turn) for turn in turns[:-1]):
        raise BrokenRow(
            "format",
            "prompt_completion trains on the last turn alone; use --to messages, or weight 0 on the others",
        )
    prompt = [_without_weight(turn) for turn in turns[:-1]]
    completion = _without_weight(turns[-1])
    if [set(turn) for turn in (*prompt, completion)] == [{"role", "content"}] * 2:
        return {"prompt": prompt[0]["content"], "completion": completion["content"]}
    return {"prompt": prompt, "completion": [completion]}


def _alpaca(example: Example) -> dict[str, Any]:
    system, pairs = _plain_pairs(example, "alpaca")
    *history, (question, answer) = pairs
    row: dict[str, Any] = {"instruction": question, "input": "", "output": answer}
    if system:
        row["system"] = system
    if history:
        row["history"] = [list(pair) for pair in history]
    return row


def _input_output(example: Example) -> dict[str, Any]:
    system, pairs = _plain_pairs(example, "input_output")
    if len(pairs) > 1:
        raise BrokenRow(
            "format", f"input_output holds one answer, this chat has {len(pairs)}; use --to messages"
        )
    row = {"input": pairs[0][0], "output": pairs[0][1]}
    return {**row, "systemPrompt": system} if system else row


def _preference(example: Example) -> dict[str, Any]:
    sides = {name: example[name] for name in ("prompt", "chosen", "rejected")}
    flat = all(len(turns) == 1 and set(turns[0]) == {"role", "content"} for turns in sides.values())
    if flat and sides["prompt"][0]["role"] == "user":
        return {name: turns[0]["content"] for name, turns in sides.items()}
    return dict(example)


def _labelled(example: Example) -> dict[str, Any]:
    sides = {name: example[name] for name in ("prompt", "completion")}
    flat = all(len(turns) == 1 and set(turns[0]) == {"role", "content"} for turns in sides.values())
    if flat and sides["prompt"][0]["role"] == "user":
        return {**{name: turns[0]["content"] for name, turns in sides.items()}, "label": example["label"]}
    return dict(example)


def _prompt(example: Example) -> dict[str, Any]:
    """All turns before the last answer; a chat's last answer is kept as `answer`, for the reward functions."""
    if "tools" in example:
        raise BrokenRow(
            "format",
            "a prompt cannot hold tools: no answer drawn to it calls one; take tools out of the row",
        )
    if "messages" not in example:
        left = {
            key: value
            for key, value in example.items()
            if key not in ("chosen", "rejected", "completion", "label")
        }
    else:
        *prompt, answer = example["messages"]
        left = {**example, "prompt": [_without_weight(turn) for turn in prompt], "answer": answer["content"]}
        del left["messages"]
    turns: list[Message] = left["prompt"]
    if len(turns) == 1 and turns[0]["role"] == "user" and set(turns[0]) == {"role", "content"}:
        left["prompt"] = turns[0]["content"]
    return left


def _text(example: Example) -> dict[str, Any]:
    if kind_of(example) == "text":
        return dict(example)
    return {"text": "\n\n".join(turn["content"] for turn in to_chat(example)["messages"] if turn["content"])}


def _plain_pairs(example: Example, name: str) -> tuple[str, list[tuple[str, str]]]:
    """The system prompt, and question and answer of each round; BrokenRow where a turn is more than its text."""
    turns: list[Message] = example["messages"]
    if "tools" in example:
        raise BrokenRow("format", f"{name} cannot hold tools; use --to messages")
    for turn in turns:
        _refuse_extras(turn, name, ("name", "tool_calls", "tool_call_id", "reasoning_content", "thinking"))
        if turn.get("weight", 1) == 0:
            raise BrokenRow("format", f"{name} cannot hold weight 0; use --to messages")
    system = turns[0]["content"] if turns[0]["role"] == "system" else ""
    texts = [turn["content"] for turn in turns[bool(system) :]]
    return system, list(zip(texts[::2], texts[1::2], strict=True))


def _refuse_extras(turn: Message, name: str, extras: tuple[str, ...]) -> None:
    for extra in extras:
        if extra in turn:
            raise BrokenRow(
                "format", f"{name} cannot hold {extra} of a {turn['role']} turn; use --to messages"
            )


def _without_weight(turn: Message) -> Message:
    return {key: value for key, value in turn.items() if key != "weight"}


_WRITERS: dict[str, Callable[[Example], dict[str, Any]]] = {
    "messages": _messages,
    "openai": _openai,
    "sharegpt": _sharegpt,
    "preference": _preference,
    "prompt_completion": _prompt_completion,
    "alpaca": _alpaca,
    "input_output": _input_output,
    "labelled": _labelled,
    "prompt": _prompt,
    "text": _text,
}
TARGETS = tuple(_WRITERS)
