"""Transcripts as text: "Human:" and "Assistant:" before each turn, as HH-RLHF has them."""

import re
from typing import Any

from launcher.data.fields import make_turn
from launcher.data.findings import BrokenRow
from launcher.data.turns import Message

_TURN = re.compile(r"(?:^|\n\n)\s*(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(value: Any) -> bool:
    """Whether a value is a text that begins with "Human:" and has a turn of "Assistant:"."""
    return isinstance(value, str) and value.lstrip().startswith("Human:") and "Assistant:" in value


def is_open(text: str) -> bool:
    """Whether a text is a transcript whose last answer is to come."""
    return is_transcript(text) and text.rstrip().endswith("\n\nAssistant:")


def split(text: str, name: str) -> tuple[list[Message], str]:
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


def answer_of(text: str) -> list[Message]:
    """The answer, which can follow its own "Assistant:", or the whole prompt again."""
    if is_transcript(text):
        text = split(text, "chosen")[1]
    return [make_turn("assistant", text.strip().removeprefix("Assistant:").strip())]


def asked_in(text: str, name: str) -> list[Message]:
    """The turns of a prompt that ends with "Assistant:"."""
    turns, answered = split(text, name)
    if answered.strip():
        raise BrokenRow("format", f'{name} does not end with "Assistant:"; end it with the question')
    return turns
