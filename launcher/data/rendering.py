"""Whether the model's chat template shows every part of a row: turns, tool calls, tools, thoughts and template arguments.

A template leaves out what it does not know, without an error. The model does not learn what is missing from the rendered text.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from launcher.data.kinds import Example
from launcher.data.mask import for_template, render_with, special_tokens_of
from launcher.data.turns import ASSISTANT_FIRST, Message, is_trained
from launcher.errors import DataError

Problem = tuple[str, str]
"""Name of a rule, and what is wrong."""
_THOUGHTS = ("reasoning_content", "thinking")
_SHOWN = 40


def problems(example: Example, tokenizer: Any) -> list[Problem]:
    """What is wrong with the rendering of a row, once for each rule and text; nothing for plain text."""
    if "parts" in example:
        return _without_end(example, tokenizer)
    if "text" in example:
        return _controls([example["text"]], tokenizer, whole=True)
    found: dict[Problem, None] = {}
    for turns, asked in _chats(example):
        try:
            found.update(dict.fromkeys(_problems(turns, asked, example, tokenizer)))
        except DataError as error:
            return [("template", str(error))]
    contents = [turn["content"] for turns, _ in _chats(example) for turn in turns]
    found.update(dict.fromkeys(_controls(contents, tokenizer, whole=False)))
    return list(found)


def _without_end(example: Example, tokenizer: Any) -> list[Problem]:
    """What is wrong with a text in parts, whose control tokens are its own: no token that ends its last trained part."""
    ends = tuple(special_tokens_of(tokenizer))
    last = next(text for text, trained in reversed(example["parts"]) if trained and text.strip())
    if not ends or last.rstrip().endswith(ends):
        return []
    return [
        ("no_end", "the last part that is trained on does not end with a control token of the model, so it does not learn "
         f"to stop; write one, such as {tokenizer.eos_token}, at its end")
    ]  # fmt: skip


def _chats(example: Example) -> Iterator[tuple[list[Message], bool]]:
    """The chats that are rendered for a row, and whether they end before the answer."""
    if "messages" in example:
        yield example["messages"], "labels" in example  # a chat with a label can end with any turn
        return
    sides = [example[name] for name in ("chosen", "rejected", "completion") if name in example]
    for side in sides:
        yield [*example["prompt"], *side], False
    if not sides:
        yield example["prompt"], True


def _problems(turns: list[Message], asked: bool, example: Example, tokenizer: Any) -> Iterator[Problem]:
    shown = for_template(turns, tokenizer)
    text: str = render_with(tokenizer, example, "")(
        shown, **({"add_generation_prompt": True} if asked else {})
    )
    flat = _flat(text)
    for number, turn in enumerate(turns, start=1):
        yield from (
            ("not_rendered", f"{what} of turn {number} ({turn['role']}) is not in the text that the model's chat template "
             "renders, so the model does not learn it; use a model whose template shows it, or take it out")
            for what in _missing(turn, flat)
        )  # fmt: skip
    bare = {key: value for key, value in example.items() if key != "tools"}
    without = text
    if "tools" in example:
        without = render_with(tokenizer, bare, "")(
            shown, **({"add_generation_prompt": True} if asked else {})
        )
    yield from _missing_of_row(example, flat, tokenizer, uses_tools=without != text)
    if turns[0]["role"] == "assistant":
        before = text.partition(turns[0]["content"].strip())[0]
        default = (
            f"; the template writes {_cut(_flat(before))!r} before it" if len(before.split()) > 2 else ""
        )
        yield (
            "assistant_first",
            f"{ASSISTANT_FIRST}{default}",
        )
    ends = tuple(special_tokens_of(tokenizer))
    if not asked and ends and is_trained(turns[-1]) and not text.rstrip().endswith(ends):
        yield (
            "no_end",
            "the chat as the model's chat template renders it does not end with a token that ends the answer, so the model "
            "does not learn to stop; use a template that writes one (model.chat_template)",
        )


def left_out(turns: list[Message], text: str) -> str | None:
    """The first part of a chat that is not in the text that the template rendered of it; None if all of it is there."""
    flat = _flat(text)
    found = (
        f"{what} of message {number} ({turn['role']})"
        for number, turn in enumerate(turns, start=1)
        for what in _missing(turn, flat)
    )
    return next(found, None)


def _missing(turn: Message, flat: str) -> Iterator[str]:
    """The parts of a turn that are not in the text."""
    content: str = turn["content"]
    thought, closed, answer = content.partition("</think>")
    parts = [answer, thought.replace("<think>", "")] if closed else [content]
    if not _holds(flat, parts[0]):
        yield "the content"
    elif closed and not _holds(flat, parts[1]):
        yield "the thought within <think>"
    yield from (f"{name}" for name in _THOUGHTS if name in turn and not _holds(flat, turn[name]))
    for call in turn.get("tool_calls", ()):
        function = call["function"]
        texts = [function["name"], *(value for value in _leaves(function["arguments"]))]
        if not all(_holds(flat, text) for text in texts):
            yield f"the call of {function['name']}"


def _missing_of_row(example: Example, flat: str, tokenizer: Any, *, uses_tools: bool) -> Iterator[Problem]:
    """The tools and the template arguments of the row that the template does not use."""
    names = [_tool_name(tool) for tool in example.get("tools", ())]
    missing = [name for name in names if name and not (uses_tools and _holds(flat, name))]
    if missing:
        yield (
            "not_rendered",
            f"the tools of the row ({', '.join(missing)}) are not in the text that the model's chat template renders, so "
            "the model never sees what it can call; use a model whose template shows tools, or describe them in the system "
            "prompt",
        )
    for name in example.get("chat_template_kwargs", ()):
        if name not in tokenizer.chat_template:
            yield (
                "not_rendered",
                f"chat_template_kwargs.{name} has no effect: the model's chat template does not know it; take it out",
            )


def _tool_name(tool: Any) -> str | None:
    values = _object(_object(tool).get("function")) or _object(tool)
    name = values.get("name")
    return name if isinstance(name, str) else None


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _controls(texts: list[str], tokenizer: Any, *, whole: bool) -> list[Problem]:
    """The model's control tokens within texts, which become the token and not its letters.

    At the beginning and the end of a plain text they are what a text begins and ends with.
    """
    for text in texts:
        for token in special_tokens_of(tokenizer):
            inner = text.strip().removeprefix(token).removesuffix(token) if whole else text
            if token in inner:
                return [
                    ("control_token", f"the text holds {token}, which the model reads as a control token, not as letters; take "
                     "it out, or write it in another way")
                ]  # fmt: skip
    return []


def _leaves(value: Any) -> Iterator[str]:
    """The strings within the arguments of a call."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        items = _object(value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for item in items:
            yield from _leaves(item)


def _holds(flat: str, part: str) -> bool:
    """Whether the text holds the part, also as JSON writes it; white space does not count."""
    wanted = _flat(part)
    return (
        wanted in flat
        or _flat(json.dumps(part, ensure_ascii=False)[1:-1]) in flat
        or json.dumps(part)[1:-1] in flat
    )


def _flat(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN * 2 else f"{text[: _SHOWN * 2]}..."
