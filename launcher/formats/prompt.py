"""`prompt`: a prompt whose answers are generated while training, and what reward functions compare them with."""

from typing import Any

from launcher.data.fields import read_side, without_weight
from launcher.data.kinds import Example
from launcher.data.rules import BrokenRow
from launcher.data.turns import Message, check_prompt
from launcher.formats.base import Fields, Format

_REFERENCES = ("answer", "solution", "ground_truth", "reference")
"""Keys that a reward function is given by their names."""


def _matches(row: Fields) -> bool:
    return "prompt" in row


def _read(row: Fields) -> Example:
    prompt = read_side(row.get("prompt"), "prompt", "user")
    check_prompt(prompt)
    given = {name: row[name] for name in _REFERENCES if row.get(name) is not None}
    return {"prompt": prompt, **given}


def _write(example: Example) -> dict[str, Any]:
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
        left = {**example, "prompt": [without_weight(turn) for turn in prompt], "answer": answer["content"]}
        del left["messages"]
    turns: list[Message] = left["prompt"]
    if len(turns) == 1 and turns[0]["role"] == "user" and set(turns[0]) == {"role", "content"}:
        left["prompt"] = turns[0]["content"]
    return left


SPEC = Format(
    keys=("prompt", *_REFERENCES),
    kind="prompt",
    precedence=90,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("prompt", "chat", "pair", "labelled"),
    later_columns=_REFERENCES,
    text_or_turns=("prompt",),
    example={"prompt": "2 + 2?", "answer": "4"},
    shape='`{"prompt": ..., "answer"?, "solution"?, "ground_truth"?, "reference"?}`: no answer to learn from',
)
