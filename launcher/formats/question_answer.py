"""`question_answer`: a question and its answer under one of their usual names, and an optional system prompt or context."""

from typing import Any, cast

from launcher.data.fields import (
    make_turn,
    plain_pair,
    read_below,
    read_history,
    read_string,
    read_systems,
    text_turn,
)
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.turns import Message
from launcher.formats.base import SYSTEM, Fields, Format

_QUESTIONS = (
    *("question", "query", "problem", "user", "human", "prompt", "instruction", "input", "context"),
    *("inputs_pretokenized", "inputs"),
)
_ANSWERS = (
    *(
        "response",
        "assistant",
        "solution",
        "generated_solution",
        "answer",
        "completion",
        "reply",
        "output",
        "target",
    ),
    *("targets_pretokenized", "targets", "best_answer", "correct_answer", "answers"),
)
"""In order of preference: a worked solution comes before the answer that it ends with."""
_DEFINITION = "definition"
"""Key of the instruction that all rows of a task of Natural Instructions share; the input of the row is put below it."""
_REFERENCED = ("solution", "answer")
"""In a row with a `prompt`, these are not answers to learn: a reward function compares generated answers with them."""


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
    question, answer = names
    said = read_below(row, question, "context" if question != "context" else "")
    if question == "inputs" and row.get(_DEFINITION):
        said = f"{read_string(row, _DEFINITION)}\n\n{said}"
    before = read_history(row) if isinstance(row.get("history"), list) else []
    answered = _squad(row) if answer == "answers" else text_turn(row, answer, "assistant")
    return {"messages": [*read_systems(row), *before, make_turn("user", said), answered]}


def _squad(row: Fields) -> Message:
    """The first of the answers of SQuAD, {"text": [...], "answer_start": [...]}."""
    given = row.get("answers")
    texts: Any = cast("dict[str, Any]", given).get("text") if isinstance(given, dict) else None
    if not isinstance(texts, list):
        return text_turn(row, "answers", "assistant")
    if not texts:
        raise BrokenRow(
            "empty",
            "answers holds no text, as for SQuAD's questions without an answer; leave such rows out with "
            "data.on_bad_row=skip and a data.max_bad_share that allows them, or write what to answer",
        )
    return make_turn("assistant", texts[0])


def _unread(row: Fields) -> tuple[str, ...]:
    names = _names(row) or ()
    used = (*names, *SYSTEM, *(() if "context" in names else ("context",)))
    others = [_DEFINITION] if "inputs" not in names else []
    others += ["history"] if not isinstance(row.get("history"), list) else []
    return tuple(
        key for key in row if key in (*_QUESTIONS, *_ANSWERS, *others) and key not in used and row[key]
    )


def _write(example: Example) -> dict[str, Any]:
    system, question, answer = plain_pair(example, "question_answer")
    row = {"question": question, "answer": answer}
    return {**row, "system_prompt": system} if system else row


SPEC = Format(
    keys=(*_QUESTIONS, *_ANSWERS, _DEFINITION, "history", *SYSTEM),
    kind="chat",
    precedence=75,
    matches=_matches,
    read=_read,
    unread=_unread,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("system_prompt", "history"),
    json_columns=("history",),
    example={"question": "2 + 2?", "answer": "4", "system_prompt": "Be short."},
    shape='`{"question", "answer", "system_prompt"?, "context"?}`',
    note="; also `query`, `problem`, `user`, `inputs` and `response`, `solution`, `assistant`, `targets`, SQuAD's `answers`; "
    "context is put below the question",
)
