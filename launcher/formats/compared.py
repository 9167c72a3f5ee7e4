"""`compared`: a question, several answers, and which of them is better: SHP, PKU-SafeRLHF, HelpSteer's preferences, chatbot
arenas, StackExchange pairs, and UltraFeedback and Nectar as they were published (answers with scores or ranks)."""

import json
from typing import Any, cast

from launcher.data.fields import as_strings, make_turn, read_side, read_systems
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.transcript import asked_in, is_open
from launcher.data.turns import Message, check_answer, check_order, shared_turns
from launcher.formats._verdicts import VERDICTS, first_is_better, is_number
from launcher.formats.base import SYSTEM, Fields, Format

_PROMPTS = ("prompt", "question", "instruction", "history", "context")
_PAIRS = (
    ("response_0", "response_1"),
    ("response_1", "response_2"),
    ("response1", "response2"),
    ("answer_0", "answer_1"),
    ("human_ref_A", "human_ref_B"),
    ("conversation_a", "conversation_b"),
    ("response_a", "response_b"),
    ("completion_a", "completion_b"),
    ("answer_a", "answer_b"),
)
"""Names of two answers, of which another column says which is better."""
_BETTER_FIRST = (("response_j", "response_k"), ("chosen_response", "rejected_response"))
"""Names of two answers, of which the first is the better one."""
_SCORES = (
    "fine-grained_score",
    "fine_grained_score",
    "overall_score",
    "score",
    "pm_score",
    "rating",
    "reward",
)
"""Keys for the score of an answer in a list, in order of preference: UltraFeedback's overall scores are known to be wrong."""
_RANKS = ("ranks", "rank")
"""Names of a list of ranks, of which 1 (or 0) is the best."""
_LISTED = tuple(
    (answers, scores)
    for answers in ("responses", "completions", "answers")
    for scores in ("scores", "rewards", *_RANKS)
)
"""Names of a list of answers and of the list of their scores."""


def _names(row: Fields) -> tuple[str, str] | None:
    """The names of the two answers of a row."""
    return next((pair for pair in (*_BETTER_FIRST, *_PAIRS) if pair[0] in row and pair[1] in row), None)


def _matches(row: Fields) -> bool:
    names = _names(row)
    if names is not None:
        return names in _BETTER_FIRST or any(name in row for name in VERDICTS)
    asked = "instruction" in row or "prompt" in row
    return ("completions" in row and asked) or _is_ranked(row) or (asked and _lists(row) is not None)


def _lists(row: Fields) -> tuple[str, str] | None:
    """The names of a list of answers and of their scores."""
    return next((pair for pair in _LISTED if pair[0] in row and pair[1] in row), None)


def _is_ranked(row: Fields) -> bool:
    """Whether the answers are a list of objects with ranks or scores, as in Nectar and in H4's StackExchange."""
    answers: Any = row.get("answers")
    if not isinstance(answers, list) or not any(name in row for name in _PROMPTS):
        return "answers" in row and "prompt" in row and "num_responses" in row
    first: Any = cast("list[Any]", answers)[0] if answers else None
    return isinstance(first, dict) and any(name in first for name in (*_SCORES, "rank"))


def _read(row: Fields) -> Example:
    names = _names(row)
    if names is None:
        listed = _lists(row)
        answers = row.get("answers" if _is_ranked(row) else "completions")
        chosen, rejected = _best_and_worst(_scored(row, *listed) if listed else answers)
    else:
        chosen, rejected = (_side(row, name) for name in names)
        if names not in _BETTER_FIRST and not first_is_better(row):
            chosen, rejected = rejected, chosen
    prompt = _prompt(row)
    if not prompt:
        prompt = shared_turns(chosen, rejected)
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
    if not prompt:
        raise BrokenRow("format", f"no question: give it as one of {', '.join(_PROMPTS)}")
    if prompt[0]["role"] != "system":
        prompt = [*read_systems(row), *prompt]
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        check_order([*prompt, *answer])
        check_answer(answer, name)
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _texts(value: Any) -> list[str]:
    """The texts of a list in JSON, as the arena's tables hold the questions and the answers of several rounds."""
    if not isinstance(value, str) or not value.startswith('["'):
        return []
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return []
    return found if all(isinstance(text, str) for text in found) else []


def _side(row: Fields, name: str) -> list[Message]:
    """The turns of one of the two answers; with several rounds, the questions after the first one are among them."""
    asked, said = _texts(row.get("prompt")), _texts(row[name])
    if not asked or len(asked) != len(said):
        return read_side(row[name], name, "assistant")
    rounds = zip(asked, said, strict=True)
    turns = [make_turn(*one) for q, a in rounds for one in (("user", q), ("assistant", a))]
    return turns[1:]


def _scored(row: Fields, answers: str, scores: str) -> list[dict[str, Any]]:
    """The answers of two lists, each with its score."""
    texts, numbers = (
        cast("list[Any]", value) if isinstance(value, list) else []
        for value in (row.get(answers), row.get(scores))
    )
    if not texts or len(texts) != len(numbers):
        raise BrokenRow("format", f"{answers} and {scores} are not two lists of the same length")
    by = "rank" if scores in _RANKS else "score"
    pairs = zip(texts, numbers, strict=True)
    return [{"response": text, by: number} for text, number in pairs]


def _prompt(row: Fields) -> list[Message]:
    name = next((name for name in _PROMPTS if row.get(name) is not None), None)
    if name is None:
        return []
    given = row[name]
    if name == "prompt" and (texts := _texts(given)):
        return [make_turn("user", texts[0])]
    if isinstance(given, str) and is_open(given):
        return asked_in(given, name)
    if isinstance(given, dict) and "full_text" in given:  # webgpt_comparisons
        given = cast("dict[str, Any]", given)["full_text"]
    return read_side(given, name, "user")


def _best_and_worst(given: Any) -> tuple[list[Message], list[Message]]:
    """The answers with the highest and the lowest score; the first one if several have the same score."""
    found: list[tuple[float, str]] = []
    for one in cast("list[Any]", given) if isinstance(given, list) else []:
        answer = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        score = next((answer[name] for name in _SCORES if is_number(answer.get(name))), None)
        if score is None and is_number(answer.get("rank")):
            score = -answer["rank"]  # rank 1 is the best
        text = next(
            (answer[name] for name in ("response", "answer", "text") if isinstance(answer.get(name), str)),
            None,
        )
        if score is not None and isinstance(text, str):
            found.append((float(score), text))
    if len(found) < 2:
        raise BrokenRow(
            "format",
            f"fewer than two answers have a response and a score ({', '.join(_SCORES)}) or a rank",
        )
    best, worst = max(found, key=lambda one: one[0]), min(found, key=lambda one: one[0])
    if best[0] == worst[0]:
        raise BrokenRow(
            "label",
            "all answers have the same score, and a draw teaches nothing; leave such rows out with "
            "data.on_bad_row=skip and a data.max_bad_share that allows them",
        )
    return read_side(best[1], "response", "assistant"), read_side(worst[1], "response", "assistant")


def _unread(row: Fields) -> tuple[str, ...]:
    names = [name for name in _PROMPTS if row.get(name) is not None][1:]
    return (*names, *(("safer_response_id",) if row.get("safer_response_id") is not None else ()))


def _write(example: Example) -> dict[str, Any]:
    texts = as_strings(example, ("prompt", "chosen", "rejected"))
    if texts is None:
        raise BrokenRow("format", "compared holds one question and plain answers only; use --to preference")
    return {
        "prompt": texts["prompt"], "response_0": texts["chosen"], "response_1": texts["rejected"], "better_response_id": 0,
    }  # fmt: skip


SPEC = Format(
    keys=(
        *_PROMPTS,
        *SYSTEM,
        *dict.fromkeys(name for pair in (*_BETTER_FIRST, *_PAIRS) for name in pair),
        *VERDICTS,
        *dict.fromkeys(name for pair in _LISTED for name in pair),
        *(
            "completions",
            "answers",
            "num_responses",
            *_RANKS,
            "safer_response_id",
            "score_1",
            "score_A",
            "score_B",
            "winner_model_b",
            "winner_tie",
        ),
    ),
    kind="pair",
    precedence=7,
    matches=_matches,
    read=_read,
    unread=_unread,
    write=_write,
    writes=("pair",),
    example={"prompt": "Hi", "response_0": "Hello", "response_1": "What?", "better_response_id": 0},
    shape='`{"prompt", "response_0", "response_1", "better_response_id"}`, and the columns of SHP, HelpSteer2, arenas and '
    "UltraFeedback",
    note="; of several answers with scores, the best and the worst; a draw is an invalid row",
)
