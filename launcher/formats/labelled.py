"""`labelled`: a prompt, an answer, and whether the answer is a good one."""

import json
from typing import Any

from launcher.data.fields import as_strings, read_side, with_tools
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.turns import check_answer, check_order
from launcher.formats.base import TOOLS, Fields, Format

_LABELS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
"""Spellings of a label, in JSON or in a cell of a table; pandas writes 1.0 where a cell of the column is empty."""


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
    given = row.get("label")
    label = _LABELS.get(str(given).lower())
    if label is None:
        raise BrokenRow(
            "label", f"label {given!r} must be true (a good answer) or false (a bad one); {_way(given)}"
        )
    return with_tools({"prompt": prompt, "completion": completion, "label": label}, row)


def _way(given: Any) -> str:
    if given is None:
        return "leave such rows out with data.on_bad_row=skip and a data.max_bad_share that allows them, or fill it"
    return f"""if {given!r} is good: jq -c '.label = (.label == {json.dumps(given)})' OLD.jsonl > NEW.jsonl"""


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
