"""A row as its format reads it: lists of turns that arrived as text are lists again, and keys that no turn has are gone.

What is left out or read in another way than it stands is named, so that it can be counted and told.
"""

from typing import Any, cast

from launcher.data.astext import holds_turns, read_text
from launcher.data.names import misspelt
from launcher.data.rules import BrokenRow
from launcher.data.turns import KEYS, SPOKEN_KEYS
from launcher.formats.base import ABOUT, Format

_MARKS = frozenset(("role", "from"))
"""A turn has one of these keys."""


def tidy(row: dict[str, Any], one: Format, dropped: list[str], as_text: list[str]) -> dict[str, Any]:
    """The row with what the format knows; `dropped` gets the keys that are left out, `as_text` the keys read from text.

    BrokenRow for a key that is a misspelt one of the format's.
    """
    changed: dict[str, Any] | None = None
    for key, value in row.items():
        if key not in one.keys:
            if key in ABOUT:
                continue
            _check_spelling(key, value, one, row)
            if value is not None:
                dropped.append(key)
            changed = changed if changed is not None else dict(row)
            del changed[key]
            continue
        new = value
        if isinstance(value, str) and (key in one.lists or key in one.text_or_turns):
            new = _from_text(value, key, as_text)
        if isinstance(new, list | dict):
            new = _tidy_value(new, key, dropped)
        if new is not value:
            changed = changed if changed is not None else dict(row)
            changed[key] = new
    return changed if changed is not None else row


def _check_spelling(key: str, value: Any, one: Format, row: dict[str, Any]) -> None:
    meant = misspelt(key, (name for name in one.keys if name not in row))
    if meant and value is not None:
        raise BrokenRow(
            "unknown_key",
            f"unknown key '{key}'; did you mean {meant}? Then rename it, or set data.columns={{{meant}: {key}}}; "
            f"data.drop=[{key}] leaves it out",
        )


def _from_text(value: str, key: str, as_text: list[str]) -> Any:
    """The list in the text; the text itself if it holds something else."""
    if not holds_turns(value):
        return value
    found, how = read_text(value, key)
    as_text.append(f"{key}: {how}")
    return found


def _tidy_value(value: Any, key: str, dropped: list[str]) -> Any:
    """A list of turns, or one turn, without the keys that turns do not have."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if not items:
            return items
        if isinstance(items[0], str) and all(isinstance(item, str) and holds_turns(item) for item in items):
            items = [read_text(item, key)[0] for item in items]
        tidied = [_tidy_turn(item, key, dropped) for item in items]
        return items if all(one is other for one, other in zip(tidied, items, strict=True)) else tidied
    return _tidy_turn(value, key, dropped)


def _tidy_turn(turn: Any, key: str, dropped: list[str]) -> Any:
    if not isinstance(turn, dict):
        return turn
    values = cast("dict[str, Any]", turn)
    names = values.keys()
    if names <= KEYS or not names & _MARKS:
        return values
    known = KEYS if "role" in values else SPOKEN_KEYS
    odd = [name for name in names if name not in known]
    if not odd:
        return values
    for name in odd:
        meant = misspelt(name, (one for one in known if one not in values))
        if meant and values[name] is not None:
            raise BrokenRow(
                "unknown_key",
                f"unknown key of a turn '{name}'; did you mean {meant}? Rename it, or remove it",
            )
    dropped += [f"{key}[].{name}" for name in odd if values[name] is not None]
    return {name: value for name, value in values.items() if name in known}
