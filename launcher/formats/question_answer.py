"""`question_answer`: a question and its answer under one of their usual names, and an optional system prompt or context."""

from typing import Any

from launcher.data.fields import make_turn, plain_pairs, read_below, read_systems
from launcher.data.kinds import Example
from launcher.data.rules import BrokenRow
from launcher.formats.base import SYSTEM, Fields, Format

_QUESTIONS = ("question", "query", "problem", "user", "human", "prompt", "instruction", "input", "context")
_ANSWERS = ("response", "assistant", "solution", "answer", "completion", "reply", "output", "target")
"""In the order in which they are taken: a worked solution before the answer that stands at its end."""
_REFERENCED = ("solution", "answer")
"""Beside a prompt, these are what a reward function compares generated answers with, and not an answer to learn."""


def _names(row: Fields) -> tuple[str, str] | None:
    question = next((name for name in _QUESTIONS if name in row), None)
    answers = (name for name in _ANSWERS if name in row)
    answer = next((name for name in answers if not (question == "prompt" and name in _REFERENCED)), None)
    return (question, answer) if question and answer else None


def _matches(row: Fields) -> bool:
    return _names(row) is not None


def _read(row: Fields) -> Example:
    names = _names(row)
    if names is None:
        raise BrokenRow("format", f"no {' or '.join(_QUESTIONS[:3])} with a {' or '.join(_ANSWERS[:4])}")
    question = names[0]
    said = read_below(row, question, "context" if question != "context" else "")
    turns = [make_turn("user", said), make_turn("assistant", row.get(names[1]))]
    return {"messages": [*read_systems(row), *turns]}


def _unread(row: Fields) -> tuple[str, ...]:
    names = _names(row) or ()
    used = (*names, *SYSTEM, *(() if "context" in names else ("context",)))
    return tuple(key for key in row if key in (*_QUESTIONS, *_ANSWERS) and key not in used and row[key])


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "question_answer")
    if len(pairs) > 1:
        raise BrokenRow(
            "format", f"question_answer holds one answer, but this chat has {len(pairs)}; use --to messages"
        )
    row = {"question": pairs[0][0], "answer": pairs[0][1]}
    return {**row, "system_prompt": system} if system else row


SPEC = Format(
    keys=(*_QUESTIONS, *_ANSWERS, *SYSTEM),
    kind="chat",
    precedence=75,
    matches=_matches,
    read=_read,
    unread=_unread,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("system_prompt",),
    example={"question": "2 + 2?", "answer": "4", "system_prompt": "Be short."},
    shape='`{"question", "answer", "system_prompt"?, "context"?}`',
    note="; also `query`, `problem`, `user` and `response`, `solution`, `assistant`; context stands below the question",
)
