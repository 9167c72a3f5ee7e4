"""Chats in other shapes than lists of turns: texts that alternate, and rounds of a question and its answer."""

from typing import Any, cast

from launcher.data.findings import BrokenRow

_ROUNDS = (
    ("input", "output"),
    ("human", "assistant"),
    ("user", "assistant"),
    ("human", "gpt"),
    ("human", "bot"),
    ("user", "bot"),
    ("question", "answer"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("query", "response"),
    ("query", "answer"),
)
"""Keys of the question and of the answer in a round."""


def as_turns(value: Any, key: str) -> Any:
    """The turns of a list of texts or of rounds; any other value as it is. The first text is the user's."""
    if not isinstance(value, list) or not value:
        return cast("Any", value)
    items = cast("list[Any]", value)
    if isinstance(items[0], str):
        if any(not isinstance(item, str) for item in items):
            raise BrokenRow("type", f"{key} is a list of texts and of other values; write turns")
        return [
            {"role": "assistant" if number % 2 else "user", "content": text}
            for number, text in enumerate(items)
        ]
    names = _names(items[0])
    if names is None:
        return items
    return [turn for item in items for turn in _round(item, names)]


def _names(item: Any) -> tuple[str, str] | None:
    """The keys of question and answer of a round; None for anything else."""
    if not isinstance(item, dict):
        return None
    return next((pair for pair in _ROUNDS if pair[0] in item and pair[1] in item), None)


def _round(item: Any, names: tuple[str, str]) -> list[dict[str, Any]]:
    values = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
    if set(values) != set(names):
        raise BrokenRow(
            "type",
            f'a round is {{"{names[0]}": ..., "{names[1]}": ...}}, but one has {", ".join(values) or "no keys"}',
        )
    return [{"role": "user", "content": values[names[0]]}, {"role": "assistant", "content": values[names[1]]}]
