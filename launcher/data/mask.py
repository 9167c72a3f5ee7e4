"""Token ids and labels of an example, by the model's own chat template. It needs a tokenizer but not torch."""

import json
from typing import Any

from launcher.data.cut import IGNORED
from launcher.data.kinds import SPOKEN, Example, kind_of, to_chat
from launcher.data.turns import Message, is_trained
from launcher.errors import DataError

__all__ = ["IGNORED", "encode", "encode_prompt", "show"]
_MARK = "ANOTHERANSWER"


def encode(
    example: Example, tokenizer: Any, assistant_only: bool, where: str, merged: list[str] | None = None
) -> dict[str, list[int]]:
    """input_ids and labels of one example; all of a plain text is trained on, and an end-of-text token is appended. A text in
    parts says itself which are trained on, whatever `assistant_only` is.

    The trained spans are found by rendering with the model's own template. It therefore needs no {% generation %} marks, and
    the tokens are exactly those that the original template renders. The end-of-turn token is trained on, because the model
    would never stop otherwise. A token that holds characters of an answer and of what stands before it is trained on, and
    `merged` gets its text. DataError if an answer cannot be found in the rendered text.
    """
    check_template(example, tokenizer, where)
    if "labels" in example:
        ids = encode_whole(example, tokenizer, where)
        return {"input_ids": ids, "labels": list(ids)}
    example = to_chat(example)
    if "parts" in example:
        return _encode_parts(example, tokenizer)
    if "text" in example:
        ids: list[int] = tokenizer(example["text"], add_special_tokens=True)["input_ids"]
        begin = tokenizer.bos_token_id
        if begin is not None and ids[:2] == [
            begin,
            begin,
        ]:  # the text has its own, and the tokenizer adds one
            ids = ids[1:]
        if tokenizer.eos_token_id is not None and ids[-1:] != [tokenizer.eos_token_id]:
            ids = [*ids, tokenizer.eos_token_id]
        return {"input_ids": ids, "labels": list(ids)}
    if "messages" not in example:
        ids = encode_prompt(example, tokenizer, where)
        return {"input_ids": ids, "labels": [IGNORED] * len(ids)}
    turns = for_template(example["messages"], tokenizer)
    render = render_with(tokenizer, example, where)
    text = render(turns)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = encoded["input_ids"]
    if not assistant_only:
        return {"input_ids": ids, "labels": list(ids)}
    spans: list[tuple[int, int]] = []
    for turn in (number for number, message in enumerate(turns) if is_trained(message)):
        span = _span(turns, turn, text, render, tokenizer)
        if span is None:
            raise DataError(
                f"{where}: the answer of turn {turn + 1} cannot be found in the text that the model's chat template renders; "
                "use trainer.assistant_only_loss=false, or split the chat"
            )
        spans.append(span)
    labels = [IGNORED] * len(ids)
    for number, (first, last) in enumerate(encoded["offset_mapping"]):
        for start, end in spans:
            if not (first < end and last > start and first < last):
                continue
            if (start <= first and last <= end) or text[max(first, start) : min(last, end)].strip():
                labels[number] = ids[number]
                if merged is not None and first < start:
                    merged.append(text[first:last])
    return {"input_ids": ids, "labels": labels}


def _encode_parts(example: Example, tokenizer: Any) -> dict[str, list[int]]:
    """Each part by itself, as axolotl tokenizes them; no token is added, and a part that is not trained on has no labels."""
    ids: list[int] = []
    labels: list[int] = []
    for text, trained in example["parts"]:
        part: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        ids += part
        labels += part if trained else [IGNORED] * len(part)
    return {"input_ids": ids, "labels": labels}


def encode_whole(example: Example, tokenizer: Any, where: str) -> list[int]:
    """input_ids of a text or a chat that is classified; those of a text are the ones that transformers' pipeline makes."""
    check_template(example, tokenizer, where)
    if "text" in example:
        return tokenizer(example["text"])["input_ids"]
    text = render_with(tokenizer, example, where)(for_template(example["messages"], tokenizer))
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def check_template(example: Example, tokenizer: Any, where: str) -> None:
    """DataError for turns if the model has no chat template; most base models have none."""
    if "text" not in example and not tokenizer.chat_template:
        raise DataError(
            f"{where}: a {SPOKEN[kind_of(example)]} needs the model's chat template, and {tokenizer.name_or_path} has none; "
            "use its instruct version, a copy of it with a chat_template.jinja, or plain text: "
            "python -m launcher data convert IN OUT --to text"
        )


def encode_prompt(example: Example, tokenizer: Any, where: str) -> list[int]:
    """input_ids of a prompt, up to the start of the assistant's answer."""
    check_template(example, tokenizer, where)
    text = render_with(tokenizer, example, where)(
        for_template(example["prompt"], tokenizer), add_generation_prompt=True
    )
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def show(encoded: dict[str, list[int]], tokenizer: Any) -> str:
    """The tokens of the example for a person; those that are trained on are in [brackets]."""
    pieces: list[str] = []
    trained = False
    for token, label in zip(encoded["input_ids"], encoded["labels"], strict=True):
        if (label != IGNORED) != trained:
            trained = not trained
            pieces.append("[" if trained else "]")
        pieces.append(tokenizer.decode([token]))
    return "".join(pieces) + ("]" if trained else "")


def for_template(turns: list[Message], tokenizer: Any) -> list[Message]:
    """The turns as the template can render them. If it knows no tool calls, they become text of the turn.

    The spelling is that of Qwen2.5's and Hermes' templates: <tool_call>, a line of JSON, </tool_call>.
    """
    if "tool_calls" in (tokenizer.chat_template or ""):
        return turns
    return [_with_calls_as_text(turn) if "tool_calls" in turn else turn for turn in turns]


def _with_calls_as_text(turn: Message) -> Message:
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in turn["tool_calls"]]
    parts = [turn["content"], *(f"<tool_call>\n{call}\n</tool_call>" for call in calls)]
    left = {key: value for key, value in turn.items() if key != "tool_calls"}
    return {**left, "content": "\n".join(part for part in parts if part)}


def render_with(tokenizer: Any, example: Example, where: str) -> Any:
    """A function of turns that gives their text; DataError if the template refuses them, or if it fails on them."""
    # imported here: commands that only count rows do not need it
    from jinja2 import TemplateError, TemplateSyntaxError

    more = {"tools": example["tools"]} if "tools" in example else {}
    given = {**example.get("chat_template_kwargs", {}), **more}
    place = f"{where}: " if where else ""

    def render(turns: list[Message], **more: Any) -> str:
        try:
            return tokenizer.apply_chat_template(turns, tokenize=False, **{**given, **more})
        except TemplateSyntaxError as error:
            raise DataError(
                f"{place}the model's chat template is not valid Jinja (line {error.lineno}: {error.message}), so it renders no "
                "chat; correct it, or set model.chat_template"
            ) from None
        except TemplateError as error:
            raise DataError(
                f"{place}this model's chat template refuses the chat ({error}); change the chat, or leave it out"
            ) from None
        except (
            TypeError,
            ValueError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            MemoryError,
        ) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                f"{place}this model's chat template fails on the chat ({reason}); change the chat, or leave it out"
            ) from None

    return render


def _span(turns: list[Message], turn: int, text: str, render: Any, tokenizer: Any) -> tuple[int, int] | None:
    """Characters [start, end) of the assistant's answer in this turn within `text`, including its end-of-turn token; None if
    they cannot be found."""
    upto: str = render(turns[: turn + 1]).rstrip()
    if not turn:  # nothing can be rendered before it, but a template may write a system prompt of its own
        return _shown_otherwise(turns, turn, text, upto, render, tokenizer)
    before: str = render(turns[:turn], add_generation_prompt=True)
    if text.startswith(upto) and upto.startswith(before):
        return len(before), len(upto)
    found = _shown_otherwise(turns, turn, text, upto, render, tokenizer)
    if found is not None and text.startswith(
        before
    ):  # what gpt-oss writes before an answer is said by the model
        return min(len(before), found[0]), found[1]
    return found


def _shown_otherwise(
    turns: list[Message], turn: int, text: str, upto: str, render: Any, tokenizer: Any
) -> tuple[int, int] | None:
    """The span for a template that renders the last turn differently from earlier ones (Qwen3 with its empty thought, Phi-3).

    It begins where a marker instead of the content would begin. It ends where the text of the turn at the end of `upto`, tool
    calls included, ends; or, in a turn without calls, after the special token that follows the content.
    """
    marked: list[Message] = [*turns[:turn], {**turns[turn], "content": _MARK}]
    whole, alone = str(render([*marked, *turns[turn + 1 :]])), str(render(marked))
    start, last = (shown.partition(_MARK)[0] for shown in (whole, alone))
    if _MARK not in whole or _MARK not in alone or not text.startswith(start):
        return None
    rest, block = text[len(start) :].lstrip(), upto.removeprefix(last).lstrip()
    if block and upto.startswith(last) and rest.startswith(block):
        return len(start), len(text) - len(rest) + len(block)
    content = turns[turn]["content"].strip()
    if "tool_calls" in turns[turn] or not content or not rest.startswith(content):
        return None
    behind = rest[len(content) :].lstrip()
    closing = [token for token in special_tokens_of(tokenizer) if behind.startswith(token)]
    return (len(start), len(text) - len(behind) + len(max(closing, key=len))) if closing else None


def special_tokens_of(tokenizer: Any) -> set[str]:
    """The special tokens, which are not text. Qwen3's <tool_call> and <think> are added tokens too, but text of the answer."""
    added = tokenizer.added_tokens_decoder.values()
    return {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
