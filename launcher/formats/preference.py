"""`preference`: a prompt with a chosen and a rejected answer."""

from typing import Any, cast

from launcher.data.fields import as_strings, read_below, read_chat, read_side, read_systems, with_tools
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.turns import Message, check_answer, check_order, shared_turns
from launcher.formats.base import SYSTEM, TOOLS, Fields, Format

_PROMPTS = (
    "prompt",
    "conversations",
    "question",
    "instruction",
    "query",
    "problem",
    "trajectory",
    "context",
    "input",
)
"""Names of the prompt, in order of preference."""


_REJECTED = "rejected_response"


def _matches(row: Fields) -> bool:
    return ("chosen" in row and "rejected" in row) or "preferred_output" in row or _REJECTED in row


def _read(row: Fields) -> Example:
    if "preferred_output" in row:  # OpenAI's spelling
        given = cast("dict[str, Any]", row.get("input")) if isinstance(row.get("input"), dict) else {}
        names = {"prompt": given.get("messages"), "chosen": row["preferred_output"]}
        row = {**names, "rejected": row.get("non_preferred_output"), "tools": given.get("tools")}
    if _REJECTED in row:
        row = _with_rejected(row)
    chosen, rejected = (read_side(row.get(name), name, "assistant") for name in ("chosen", "rejected"))
    prompt = _prompt(row)
    if _is_whole(chosen) and _is_whole(rejected):
        shared = shared_turns(chosen, rejected)
        if not shared:
            raise BrokenRow(
                "format", "chosen and rejected are whole chats that do not begin with the same turns"
            )
        _check_same(prompt, shared)
        chosen, rejected, prompt = chosen[len(shared) :], rejected[len(shared) :], shared
    elif not prompt:
        prompt = shared_turns(chosen, rejected)
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
    if not prompt or not chosen or not rejected:
        raise BrokenRow("format", "no prompt, and chosen and rejected do not begin with the same turns")
    if prompt[0]["role"] != "system":
        prompt = [*read_systems(row), *prompt]
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        check_order([*prompt, *answer])
        check_answer(answer, name)
    return with_tools({"prompt": prompt, "chosen": chosen, "rejected": rejected}, row)


def _with_rejected(row: Fields) -> Fields:
    """ms-swift's row: a chat that ends with the good answer, or a query and its response, and the bad answer beside it."""
    if row.get("messages") is None:
        return {**row, "chosen": row.get("response"), "rejected": row.get(_REJECTED)}
    *before, answer = read_chat(row, "messages")
    return {**row, "prompt": before, "chosen": [answer], "rejected": row.get(_REJECTED)}


def _prompt(row: Fields) -> list[Message]:
    """The turns of the prompt; empty if the row has only the answers."""
    name = next((name for name in _PROMPTS if row.get(name) is not None), None)
    if name is None:
        return []
    if name != "input" and isinstance(row[name], str) and isinstance(row.get("input"), str):
        return read_side(read_below(row, name, "input"), name, "user")
    return read_side(row[name], name, "user")


def _unread(row: Fields) -> tuple[str, ...]:
    if "preferred_output" in row:
        return ()
    names = [name for name in _PROMPTS if row.get(name) is not None]
    below = names and isinstance(row[names[0]], str) and isinstance(row.get("input"), str)
    return tuple(name for name in names[1:] if not (below and name == "input"))


def _is_whole(side: list[Message]) -> bool:
    """Whether the side is a whole chat that includes the question, and not only an answer."""
    return len(side) > 1 and side[0]["role"] in ("system", "user")


def _check_same(prompt: list[Message], shared: list[Message]) -> None:
    """BrokenRow if the row has whole chats and a prompt that is not among the turns that the chats share."""
    said = {turn["content"].strip() for turn in shared}
    lost = next((turn for turn in prompt if turn["content"].strip() not in said), None)
    if lost is not None and not all(
        text in lost["content"] for text in said
    ):  # the prompt can also be all of them as one text
        raise BrokenRow(
            "format",
            "chosen and rejected are whole chats, and prompt is not among the turns that they share; "
            "data.drop=[prompt] reads only the chats",
        )


def _write(example: Example) -> dict[str, Any]:
    return as_strings(example, ("prompt", "chosen", "rejected")) or dict(example)


SPEC = Format(
    keys=(
        *(*_PROMPTS, "chosen", "rejected", "score_chosen", "score_rejected", *SYSTEM, *TOOLS),
        *("preferred_output", "non_preferred_output", _REJECTED, "messages", "response"),
    ),
    kind="pair",
    precedence=8,
    matches=_matches,
    read=_read,
    unread=_unread,
    write=_write,
    writes=("pair",),
    later_columns=("tools",),
    json_columns=("tools",),
    text_or_turns=("prompt", "chosen", "rejected"),
    lists=("conversations", "trajectory", "messages"),
    meanings={
        "prompt": ("question", "instruction", "query", "input", "user", "problem", "context", "post"),
        "chosen": (
            "accepted",
            "preferred",
            "good",
            "better",
            "winner",
            "positive",
            "response_chosen",
            "chosen_response",
        ),
        "rejected": (
            "declined",
            "dispreferred",
            "bad",
            "worse",
            "loser",
            "negative",
            "response_rejected",
        ),
    },
    example={"prompt": "Hi", "chosen": "Hello", "rejected": "What?"},
    shape='`{"prompt"?, "chosen", "rejected"}`: strings or lists of turns; or OpenAI\'s `preferred_output`, ms-swift\'s '
    "`rejected_response`",
)
