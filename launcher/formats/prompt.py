"""`prompt`: a prompt whose answers are generated during training, and references with which reward functions compare them."""

from typing import Any, cast

from launcher.data.fields import read_side, without_weight
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.turns import Message, check_prompt
from launcher.formats.base import Fields, Format

_REWARD = "reward_model"
_REFERENCES = ("answer", "solution", "ground_truth", "reference")
"""Keys whose values a reward function receives under the same names."""


def _matches(row: Fields) -> bool:
    return "prompt" in row


def _read(row: Fields) -> Example:
    prompt = read_side(row.get("prompt"), "prompt", "user")
    check_prompt(prompt)
    given = {name: row[name] for name in _REFERENCES if row.get(name) is not None}
    if (truth := _truth(row)) is not None:
        given.setdefault("ground_truth", truth)
    return {"prompt": prompt, **given}


def _truth(row: Fields) -> Any:
    """The reference in a row of verl, {"reward_model": {"style", "ground_truth"}}; None without one."""
    held = row.get(_REWARD)
    return cast("dict[str, Any]", held).get("ground_truth") if isinstance(held, dict) else None


def _unread(row: Fields) -> tuple[str, ...]:
    return (_REWARD,) if row.get(_REWARD) and _truth(row) is None else ()


def _write(example: Example) -> dict[str, Any]:
    """The turns before the last answer as the prompt; the last answer of a chat is kept as `answer`, for reward functions."""
    if "tools" in example:
        raise BrokenRow(
            "format",
            "a prompt cannot hold tools, because generated answers do not call them; remove tools from the row",
        )
    if "messages" not in example:
        left = {
            key: value
            for key, value in example.items()
            if key not in ("chosen", "rejected", "completion", "label")
        }
    else:
        *prompt, answer = example["messages"]
        left = {**example, "prompt": [without_weight(turn) for turn in prompt], "answer": answer["content"]}
        del left["messages"]
    turns: list[Message] = left["prompt"]
    if len(turns) == 1 and turns[0]["role"] == "user" and set(turns[0]) == {"role", "content"}:
        left["prompt"] = turns[0]["content"]
    return left


SPEC = Format(
    keys=("prompt", *_REFERENCES, _REWARD),
    kind="prompt",
    precedence=90,
    matches=_matches,
    read=_read,
    unread=_unread,
    write=_write,
    writes=("prompt", "chat", "pair", "labelled"),
    later_columns=_REFERENCES,
    text_or_turns=("prompt",),
    raw=(*_REFERENCES, _REWARD),
    example={"prompt": "2 + 2?", "answer": "4"},
    shape='`{"prompt": ..., "answer"?, "solution"?, "ground_truth"?, "reference"?}`: no answer to learn from',
)
