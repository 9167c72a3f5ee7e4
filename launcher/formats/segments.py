"""`segments`: a text in parts, each trained on or not, as axolotl's template-free `input_output` rows have it.

Every part is tokenized by itself, and nothing is added: the row holds its own control tokens.
Source: axolotl's documentation, "Template-free", and its RawInputOutputStrategy.
"""

from typing import Any, cast

from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.formats.base import Fields, Format

_SHAPE = '{"label": true or false, "text": "..."}'


def _matches(row: Fields) -> bool:
    return "segments" in row


def _read(row: Fields) -> Example:
    segments: Any = row["segments"]
    if not isinstance(segments, list) or not segments:
        raise BrokenRow("type", f"segments is not a list of {_SHAPE}")
    parts = [_part(number, one) for number, one in enumerate(cast("list[Any]", segments), start=1)]
    text = "".join(str(one) for one, _ in parts)
    if not text.strip():
        raise BrokenRow("empty", "all texts of segments are empty; remove the row")
    if not any(trained and one for one, trained in parts):
        raise BrokenRow(
            "no_answer",
            "no segment with a text has label true, so nothing of the row is trained on; remove the row",
        )
    return {"text": text, "parts": parts}


def _part(number: int, segment: Any) -> list[Any]:
    """[text, whether it is trained on]."""
    fields = cast("dict[str, Any]", segment) if isinstance(segment, dict) else {}
    text, label = fields.get("text"), fields.get("label")
    if not isinstance(text, str):
        raise BrokenRow("type", f"segment {number} has no text; write each as {_SHAPE}")
    if label not in (True, False):
        raise BrokenRow(
            "label", f"label of segment {number} is {label!r}; write true (trained on) or false (only read)"
        )
    return [text, bool(label)]


def _write(example: Example) -> dict[str, Any]:
    parts: list[Any] = example.get("parts") or [[example["text"], True]]
    return {"segments": [{"label": trained, "text": text} for text, trained in parts]}


SPEC = Format(
    keys=("segments",),
    kind="text",
    precedence=88,  # a text or a chat with the segments of a recording beside it is not of this format
    matches=_matches,
    read=_read,
    write=_write,
    writes=("text",),
    json_columns=("segments",),
    raw=("segments",),
    example={"segments": [{"label": False, "text": "<s>Hi\n"}, {"label": True, "text": "Hello</s>"}]},
    shape='`{"segments": [{"label": true or false, "text": ...}, ...]}`, as in axolotl\'s template-free `input_output`',
    note="; only parts with label true are trained on, and no token is added",
)
