"""`labelled`: a prompt, an answer, and whether the answer is a good one."""

from typing import Any

from launcher.data.fields import as_strings, read_label, read_side, with_tools
from launcher.data.kinds import Example
from launcher.data.turns import check_answer, check_order
from launcher.formats.base import TOOLS, Fields, Format


def _matches(row: Fields) -> bool:
    return "label" in row and "prompt" in row and ("completion" in row or "response" in row)


def _read(row: Fields) -> Example:
    prompt, completion = (
        read_side(row.get(name), name, role)
        for name, role in (
            ("prompt", "user"),
            ("response" if "response" in row else "completion", "assistant"),
        )
    )
    check_order([*prompt, *completion])
    check_answer(completion, "completion")
    return with_tools({"prompt": prompt, "completion": completion, "label": read_label(row, "label")}, row)


def _unread(row: Fields) -> tuple[str, ...]:
    return ("completion",) if "response" in row and "completion" in row else ()


def _write(example: Example) -> dict[str, Any]:
    texts = as_strings(example, ("prompt", "completion"))
    return {**texts, "label": example["label"]} if texts else dict(example)


SPEC = Format(
    keys=("prompt", "completion", "response", "label", *TOOLS),
    kind="labelled",
    precedence=40,
    matches=_matches,
    read=_read,
    unread=_unread,
    write=_write,
    writes=("labelled",),
    later_columns=("tools",),
    json_columns=("tools",),
    text_or_turns=("prompt", "completion", "response"),
    example={"prompt": "Hi", "completion": "Hello", "label": True},
    shape='`{"prompt": ..., "completion": ..., "label": true or false}`: a good or a bad answer',
)
