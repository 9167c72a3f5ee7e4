"""`human_assistant`: pairs of whole transcripts as text, with "Human:" and "Assistant:" before each turn (HH-RLHF)."""

import re
from typing import Any

from launcher.data.fields import make_turn, read_string
from launcher.data.kinds import Example
from launcher.data.rules import BrokenRow
from launcher.data.turns import Message, check_order
from launcher.formats.base import Fields, Format

_TURN = re.compile(r"(?:^|\n\n)\s*(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def _is_transcript(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("Human:") and "Assistant:" in value


def _matches(row: Fields) -> bool:
    if "chosen" not in row or "rejected" not in row:
        return False
    return _is_transcript(row["chosen"]) or _is_transcript(row.get("prompt"))


def _read(row: Fields) -> Example:
    if _is_transcript(row.get("prompt")):
        prompt, asked = _split(read_string(row, "prompt"), "prompt")
        if asked.strip():
            raise BrokenRow("format", 'prompt does not end with "Assistant:"; end it with the question')
        sides = [_answer(read_string(row, name)) for name in ("chosen", "rejected")]
    else:
        (prompt, chosen), (other, rejected) = (
            _split(read_string(row, name), name) for name in ("chosen", "rejected")
        )
        if prompt != other:
            prompt, sides = _fork(prompt, chosen, other, rejected)
        else:
            sides = [[make_turn("assistant", chosen.strip())], [make_turn("assistant", rejected.strip())]]
    for side in sides:
        check_order([*prompt, *side])
    return {"prompt": prompt, "chosen": sides[0], "rejected": sides[1]}


def _split(text: str, name: str) -> tuple[list[Message], str]:
    """The turns before the last "Assistant:", and the text behind it."""
    parts = _TURN.split(text)
    if parts[0].strip() or len(parts) < 5 or parts[-2] != "Assistant":
        raise BrokenRow(
            "format",
            f'{name} is no transcript that begins with "Human:" and ends with an answer of "Assistant:"',
        )
    turns = [
        make_turn(_ROLES[speaker], said.strip())
        for speaker, said in zip(parts[1:-2:2], parts[2:-1:2], strict=True)
    ]
    return turns, parts[-1]


def _fork(
    one: list[Message], chosen: str, other: list[Message], rejected: str
) -> tuple[list[Message], list[list[Message]]]:
    """The turns that both transcripts begin with, and what follows them on each side."""
    sides = [
        [*one, make_turn("assistant", chosen.strip())],
        [*other, make_turn("assistant", rejected.strip())],
    ]
    length = 0
    while length < min(map(len, sides)) and sides[0][length] == sides[1][length]:
        length += 1
    while length and sides[0][length - 1]["role"] == "assistant":
        length -= 1
    if not length:
        raise BrokenRow("format", "chosen and rejected do not begin with the same question")
    return sides[0][:length], [side[length:] for side in sides]


def _answer(text: str) -> list[Message]:
    """The answer, which can follow its own "Assistant:", or the whole prompt again."""
    if _is_transcript(text):
        text = _split(text, "chosen")[1]
    return [make_turn("assistant", text.strip().removeprefix("Assistant:").strip())]


def _write(example: Example) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in ("chosen", "rejected"):
        turns: list[Message] = [*example["prompt"], *example[name]]
        if any(
            set(turn) != {"role", "content"} or turn["role"] not in ("user", "assistant") for turn in turns
        ):
            raise BrokenRow(
                "format", "human_assistant holds plain turns of user and assistant only; use --to preference"
            )
        said[name] = "".join(
            f"\n\n{'Human' if turn['role'] == 'user' else 'Assistant'}: {turn['content']}" for turn in turns
        )
    return said


SPEC = Format(
    keys=("prompt", "chosen", "rejected"),
    kind="pair",
    precedence=6,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("pair",),
    example={"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: What?"},
    shape='`{"chosen", "rejected"}`: transcripts with "Human:" and "Assistant:" before each turn, as in HH-RLHF',
)
