"""A row as its format reads it: lists of turns that were written as text are lists again, and keys that no turn has are gone.

What is left out or converted is named, so that it can be counted and reported.
"""

from collections.abc import Mapping
from typing import Any, cast

from launcher.data.astext import holds_turns, holds_value, read_text
from launcher.data.findings import BrokenRow
from launcher.data.flags import FLAGS, as_weight
from launcher.data.meanings import misspelt
from launcher.data.speakers import SPEAKERS, keys_of
from launcher.data.turns import KEYS
from launcher.formats.base import ABOUT, Format
from launcher.formats.registry import known_formats

_SPOKEN = ("from", "value", "weight")
"""The keys of a turn with `from`; an unknown key is compared with them to find a misspelling."""
_NOTHING: tuple[Any, ...] = (None, [], {}, "")
"""Empty values: nothing is lost if a key with one of them is left out."""
Roles = Mapping[str, str]


def tidy(
    row: dict[str, Any], one: Format, dropped: list[str], as_text: list[str], roles: Roles
) -> dict[str, Any]:
    """The row with what the format knows; `dropped` gets the keys that are left out, `as_text` the keys read from text.

    `roles`: the role of each speaker that data.roles names. BrokenRow for a key that is a misspelt one of the format's.
    """
    changed: dict[str, Any] | None = None
    empty: list[str] = []
    for key, value in row.items():
        if (
            type(value) is float and value != value and key not in one.raw
        ):  # NaN is what pandas has in an empty cell
            changed = changed if changed is not None else dict(row)
            del changed[key]
            empty.append(key)
            continue
        if key not in one.keys:
            if key in ABOUT:
                continue
            _check_spelling(key, value, one, row)
            if value not in _NOTHING:
                dropped.append(key)
            changed = changed if changed is not None else dict(row)
            del changed[key]
            continue
        new = value
        if isinstance(value, str) and (key in one.lists or key in one.text_or_turns):
            new = _from_text(value, key, as_text, a_list=key in one.lists)
        if isinstance(new, list | dict) and key not in one.raw:
            new = _tidy_value(new, key, dropped, roles)
        if new is not value:
            changed = changed if changed is not None else dict(row)
            changed[key] = new
    if changed is not None and empty and not one.matches(changed):
        changed |= dict.fromkeys(
            empty
        )  # the row lacks a value that it needs; the reader of the format names it
    return changed if changed is not None else row


def meant_by(key: str, one: Format, row: Mapping[str, Any]) -> str | None:
    """The key of the format that the row lacks and of which this one is a misspelling; None if it is a key of its own."""
    if key in known_formats().lists:  # another format's name for a chat
        return None
    meant = misspelt(key, (name for name in one.keys if name not in row))
    # of several names for the same thing, one is enough: truthful_qa has a best_answer beside its correct_answers
    return None if meant and meant in one.unread({**row, meant: row[key]}) else meant


def _check_spelling(key: str, value: Any, one: Format, row: dict[str, Any]) -> None:
    if value is not None and (meant := meant_by(key, one, row)):
        raise BrokenRow(
            "unknown_key",
            f"unknown key '{key}'; did you mean {meant}? Then rename it, or set data.columns={{{meant}: {key}}}; "
            f"data.drop=[{key}] leaves it out",
        )


def _from_text(value: str, key: str, as_text: list[str], *, a_list: bool) -> Any:
    """The list in the text; the text itself if it holds something else. `a_list`: the key holds no text."""
    if not holds_turns(value) and not (a_list and holds_value(value)):
        return value
    found, how = read_text(value, key)
    as_text.append(f"{key}: {how}")
    return found


def _tidy_value(value: Any, key: str, dropped: list[str], roles: Roles) -> Any:
    """A list of turns, or one turn, without the keys that turns do not have."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if not items:
            return items
        if isinstance(items[0], str) and all(isinstance(item, str) and holds_turns(item) for item in items):
            items = [read_text(item, key)[0] for item in items]
        tidied = [_tidy_turn(item, key, dropped, roles) for item in items]
        return items if all(one is other for one, other in zip(tidied, items, strict=True)) else tidied
    return _tidy_turn(value, key, dropped, roles)


def _tidy_turn(turn: Any, key: str, dropped: list[str], roles: Roles) -> Any:
    if not isinstance(turn, dict):
        return turn
    values = cast("dict[str, Any]", turn)
    if values.keys() <= KEYS and not roles:
        return values
    keys = keys_of(values)
    if keys is None:
        return values
    speaker = values[keys[0]]
    if isinstance(speaker, str) and speaker in roles:
        values = {**values, keys[0]: roles[speaker]}
    if not FLAGS.isdisjoint(values):
        values = as_weight(values, SPEAKERS.get(str(values[keys[0]]).strip().lower(), ""))
    odd = [name for name in values if name not in KEYS and name not in keys]
    if not odd:
        return values
    known = KEYS if keys[0] == "role" else _SPOKEN
    for name in odd:
        meant = misspelt(name, (one for one in known if one not in values and one not in keys))
        if meant and values[name] is not None:
            raise BrokenRow(
                "unknown_key",
                f"unknown key of a turn '{name}'; did you mean {meant}? Rename it, or remove it",
            )
    dropped += [f"{key}[].{name}" for name in odd if values[name] is not None]
    return {name: value for name, value in values.items() if name not in odd}
