"""`contents`: Gemini's and Vertex AI's chats, whose turns hold parts: {"role", "parts": [{"text"}]}."""

from collections.abc import Mapping
from typing import Any, cast

from launcher.data.fields import plain_pairs
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.turns import Message, check_order, read_turn
from launcher.formats.base import Fields, Format

_SYSTEM = ("systemInstruction", "system_instruction")


def _matches(row: Fields) -> bool:
    return isinstance(row.get("contents"), list)


def _read(row: Fields) -> Example:
    given: Any = next((row[name] for name in _SYSTEM if row.get(name)), None)
    turns = [_turn(one, "user") for one in cast("list[Any]", row["contents"])]
    if given is not None:
        turns = [_turn(given, "system"), *turns]
    check_order(turns)
    return {"messages": turns}


def _turn(value: Any, usual: str) -> Message:
    """A turn; `usual` is its role if it has none, as the system's text and a lone question."""
    if not isinstance(value, dict):
        raise BrokenRow("type", 'a turn of contents is not {"role": ..., "parts": [{"text": ...}]}')
    values = cast("dict[str, Any]", value)
    parts: Any = values.get("parts")
    listed = cast("list[Any]", parts) if isinstance(parts, list) else [parts]
    role = "system" if usual == "system" else values.get("role", usual)
    return read_turn({"role": role, "content": "".join(_text(part) for part in listed)})


def _text(part: Any) -> str:
    text: Any = cast("Mapping[str, Any]", part).get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        raise BrokenRow("type", "a part of a turn holds no text; only texts can be trained on")
    return text


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "contents")
    turns = [turn for question, answer in pairs for turn in (("user", question), ("model", answer))]
    row: dict[str, Any] = {"contents": [{"role": role, "parts": [{"text": text}]} for role, text in turns]}
    return {**row, "systemInstruction": {"parts": [{"text": system}]}} if system else row


SPEC = Format(
    keys=("contents", *_SYSTEM),
    kind="chat",
    precedence=12,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("systemInstruction",),
    json_columns=("contents", "systemInstruction"),
    raw=("contents", *_SYSTEM),
    example={
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Hello"}]},
        ]
    },
    shape='`{"contents": [{"role", "parts": [{"text"}]}], "systemInstruction"?}`, as Gemini\'s API has it',
)
