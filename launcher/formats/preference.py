"""`preference`: a prompt with a chosen and a rejected answer."""

from typing import Any, cast

from launcher.data.fields import as_strings, read_side, with_tools
from launcher.data.kinds import Example
from launcher.data.rules import BrokenRow
from launcher.data.turns import Message, check_order
from launcher.formats.base import TOOLS, Fields, Format


def _matches(row: Fields) -> bool:
    return ("chosen" in row and "rejected" in row) or "preferred_output" in row


def _read(row: Fields) -> Example:
    if "preferred_output" in row:  # OpenAI's spelling
        given = cast("dict[str, Any]", row.get("input")) if isinstance(row.get("input"), dict) else {}
        names = {"prompt": given.get("messages"), "chosen": row["preferred_output"]}
        row = {**names, "rejected": row.get("non_preferred_output"), "tools": given.get("tools")}
    chosen, rejected = (read_side(row.get(name), name, "assistant") for name in ("chosen", "rejected"))
    if row.get("prompt") is None:
        prompt = _common(chosen, rejected)
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
        if not prompt or not chosen or not rejected:
            raise BrokenRow("format", "no prompt, and chosen and rejected do not begin with the same turns")
    else:
        prompt = read_side(row["prompt"], "prompt", "user")
    for answer in (chosen, rejected):
        check_order([*prompt, *answer])
    return with_tools({"prompt": prompt, "chosen": chosen, "rejected": rejected}, row)


def _common(one: list[Message], other: list[Message]) -> list[Message]:
    """The turns with which both sides begin, up to the last one that is not an assistant turn."""
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    while length and one[length - 1]["role"] == "assistant":
        length -= 1  # the answer itself belongs to the sides, even if both are the same
    return one[:length]


def _write(example: Example) -> dict[str, Any]:
    return as_strings(example, ("prompt", "chosen", "rejected")) or dict(example)


SPEC = Format(
    keys=(
        *("prompt", "chosen", "rejected", "score_chosen", "score_rejected", *TOOLS),
        *("input", "preferred_output", "non_preferred_output"),
    ),
    kind="pair",
    precedence=30,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("pair",),
    later_columns=("tools",),
    json_columns=("tools",),
    text_or_turns=("prompt", "chosen", "rejected"),
    example={"prompt": "Hi", "chosen": "Hello", "rejected": "What?"},
    shape='`{"prompt"?, "chosen", "rejected"}`: strings or lists of turns; or OpenAI\'s `preferred_output`',
)
