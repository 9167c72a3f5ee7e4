"""Tokens and their numbers, read without a tokenizer, and the first in which two vocabularies differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from launcher.reading import object_in


def read_vocabulary(file: Path) -> dict[str, int]:
    """Token -> its number in a tokenizer.json; empty for one that cannot be read.

    Source: the format of the package tokenizers 0.22: BPE and WordPiece hold a mapping, Unigram a list of pairs.
    """
    values = object_in(file) or {}
    model = cast("dict[str, Any]", values.get("model") or {})
    listed = model.get("vocab")
    found: dict[str, int] = {}
    if isinstance(listed, dict):
        found = {str(token): int(number) for token, number in cast("dict[str, int]", listed).items()}
    elif isinstance(listed, list):
        found = {str(one[0]): number for number, one in enumerate(cast("list[list[Any]]", listed))}
    for one in cast("list[dict[str, Any]]", values.get("added_tokens") or []):
        found[str(one.get("content"))] = int(one.get("id", -1))
    return found


def first_difference(student: Mapping[str, int], teacher: Mapping[str, int]) -> str | None:
    """The token with the smallest number that is not the same in both vocabularies, as words; None if they are equal."""
    if student == teacher:
        return None
    different = {token for token, _ in student.items() ^ teacher.items()}
    token = min(different, key=lambda one: (min(student.get(one, 1 << 60), teacher.get(one, 1 << 60)), one))
    numbers = (student.get(token), teacher.get(token))
    mine, its = ("does not exist" if number is None else f"is {number}" for number in numbers)
    return f"token {token!r} {mine} in the model's and {its} in the teacher's"
