"""What a column of a row says about its two answers: which is the better one."""

from collections.abc import Callable, Mapping
from typing import Any

from launcher.data.findings import BrokenRow
from launcher.formats.base import Fields


def first_is_better(row: Fields) -> bool:
    """Whether the first of two answers is the better one; BrokenRow for a draw."""
    for name, says in VERDICTS.items():
        if row.get(name) is not None:
            found = says(row, row[name])
            if found is None:
                raise BrokenRow(
                    "label",
                    f"{name}={row[name]!r} names no better answer, and a draw teaches nothing; leave such rows out with "
                    "data.on_bad_row=skip and a data.max_bad_share that allows them",
                )
            return found
    raise BrokenRow("label", f"no column says which answer is better ({', '.join(VERDICTS)})")


def _by_id(row: Fields, value: Any) -> bool | None:
    return {"0": True, "1": False}.get(str(value))


def _by_label(row: Fields, value: Any) -> bool | None:
    """SHP: 1 if the first answer is the better one."""
    return {"1": True, "0": False}.get(str(value))


def _by_strength(row: Fields, value: Any) -> bool | None:
    """HelpSteer2 and 3: below 0 if the first answer is the better one."""
    return value < 0 if isinstance(value, int | float) and value else None


def _by_winner(row: Fields, value: Any) -> bool | None:
    first = ("model_a", "a", "response_a", "completion_a", "answer_a")
    said = str(value).lower()
    return said in first if said in (*first, *(f"{name[:-1]}b" for name in first)) else None


def _by_scores(row: Fields, value: Any) -> bool | None:
    other: Any = row.get("score_1")
    known = is_number(value) and is_number(other)
    return bool(value > other) if known and value != other else None


def _by_column(row: Fields, value: Any) -> bool | None:
    """Arena's own columns: one of winner_model_a, winner_model_b and winner_tie is 1."""
    if str(value) in ("1", "True"):
        return True
    return False if str(row.get("winner_model_b")) in ("1", "True") else None


VERDICTS: Mapping[str, Callable[[Fields, Any], bool | None]] = {
    "better_response_id": _by_id,
    "labels": _by_label,
    "preference_strength": _by_strength,
    "overall_preference": _by_strength,
    "winner": _by_winner,
    "preference": _by_winner,
    "winner_model_a": _by_column,
    "score_0": _by_scores,
}
"""Column -> whether its value says that the first answer is better; None for a draw."""


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
