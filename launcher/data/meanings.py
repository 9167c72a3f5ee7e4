"""What the keys of a row may mean: names that are almost those of known keys, names that mean the same as one, and the error
for a row of no format, which names data.columns with them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from launcher.data.astext import holds_turns
from launcher.data.reading import Reading
from launcher.data.speakers import keys_of
from launcher.data.transcript import is_chat
from launcher.data.within import dig, names_within
from launcher.formats.base import ABOUT, Format
from launcher.formats.registry import known_formats

_NAME = 60
"""A column name of at least so many letters is taken for a text."""
_SHORT = 4
"""Names of at most so many letters may differ in one letter only, because short names are often alike by chance."""
_WORDS = frozenset(
    ("date", "dates", "story", "stories", "chart", "charts", "char", "chars", "level", "levels", "test", "tests", "next")
)  # fmt: skip
"""Words that are spelt almost like a known key but mean something else."""


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The known key from which this one differs by at most two letters, added, missing, or others; None if there is none."""
    best: tuple[int, str] | None = None
    if name.lower() in _WORDS:
        return None
    for key in known:
        if _is_counted(name) != _is_counted(key):
            continue
        most = 1 if min(len(key), len(name)) <= _SHORT else 2
        if abs(len(key) - len(name)) > most:
            continue
        away = distance(name.lower(), key.lower())
        if away <= most and (best is None or away < best[0]):
            best = (away, key)
    return best[1] if best else None


def _is_counted(name: str) -> bool:
    """Whether a digit, or a letter after _, ends the name, as in message_1 and score_A: its columns differ only in that."""
    return name[-1:].isdigit() or name[-2:-1] == "_"


def distance(one: str, other: str) -> int:
    """The number of letters to add, remove or replace. Source: Wagner and Fischer, JACM 21(1), 1974."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        current = [row]
        for column, wanted in enumerate(other, start=1):
            current.append(min(before[column] + 1, current[-1] + 1, before[column - 1] + (letter != wanted)))
        before = current
    return before[-1]


def no_format(row: Mapping[str, Any], reading: Reading) -> str:
    """Why the row is of no format, in one sentence with what may be meant."""
    lacking = [
        (ours, theirs)
        for ours, theirs in reading.columns
        if theirs not in row and dig(row, theirs) is None and ours not in row
    ]
    if lacking:
        named = ", ".join(f"{ours}: {theirs}" for ours, theirs in lacking)
        missing = " and no ".join(theirs for _, theirs in lacking)
        return f"data.columns={{{named}}}, but the row has no {missing}; its keys are {_listed(row)}"
    if chat := next((key for key, value in row.items() if isinstance(value, str) and is_chat(value)), None):
        return f"no format has the keys {_listed(row)}; {chat} is a chat as one text: data.columns={{transcript: {chat}}}"
    keys = [
        key for key in names_within(row) if key.strip().lower() not in ABOUT and dig(row, key) is not None
    ]
    formats = known_formats().formats
    for one in formats.values():
        for key in keys:
            meant = misspelt(key, one.keys)
            if meant and key not in one.keys and one.matches({**row, meant: row.get(key)}):
                return (
                    f"no format has the keys {_listed(row)}; did you mean {meant}? Rename {key}, or set "
                    f"data.columns={{{meant}: {key}}}"
                )
    for names in (keys, [key for key in names_within(row) if row.get(key, "") is not None]):
        for one in formats.values():
            columns = _meant(names, one, row)
            if columns and one.matches({ours: dig(row, theirs) for ours, theirs in columns.items()}):
                said = ", ".join(f"{ours}: {theirs}" for ours, theirs in columns.items() if ours != theirs)
                return f"no format has the keys {_listed(row)}; perhaps data.columns={{{said}}} says what they mean"
    if chat := next((key for key in keys if _is_chat(row.get(key))), None):
        return f"no format has the keys {_listed(row)}; {chat} is a list of turns: data.columns={{messages: {chat}}}"
    if any(len(key) > _NAME or key.endswith((".", "?", "!")) for key in row):
        return (
            f"the first line is read as the names of the columns, but it looks like a row ({next(iter(row)):.40}...); put a "
            "line with names before it, such as prompt,completion"
        )
    if rows := next((key for key in keys if "." in key and _is_list_of_objects(dig(row, key))), None):
        command = f"jq -c '.{rows}[]' OLD > NEW writes each on a line"
        return f"no format has the keys {_listed(row)}; {rows} holds rows of its own: {command}"
    texts = [key for key in keys if isinstance(row.get(key), str)]
    if len(texts) == len(keys) == 2:
        return (
            f"no format has the keys {_listed(row)}; if {texts[1]} answers {texts[0]}: data.columns={{prompt: {texts[0]}, "
            f"completion: {texts[1]}}}"
        )
    return (
        f"no format has the keys {_listed(row)}; name them with data.columns={{messages: ...}}, "
        "{prompt: ..., completion: ...}, {prompt: ..., chosen: ..., rejected: ...} or {text: ...}"
    )


def _is_list_of_objects(value: Any) -> bool:
    rows = cast("list[Any]", value) if isinstance(value, list) else []
    return bool(rows) and all(isinstance(row, dict) for row in rows)


def _is_chat(value: Any) -> bool:
    """Whether it is a list of objects that all say who speaks."""
    turns = cast("list[Any]", value) if isinstance(value, list) else []
    return bool(turns) and all(
        isinstance(turn, dict) and keys_of(cast("dict[str, Any]", turn)) for turn in turns
    )


def _meant(keys: list[str], one: Format, row: Mapping[str, Any]) -> dict[str, str] | None:
    """Key of the format -> the row's key that means it; None if one of the format's is not found."""
    found: dict[str, str] = {}
    for ours, others in one.meanings.items():
        theirs = next((key for key in keys if key.rpartition(".")[2].lower() in (ours, *others)), None)
        if theirs is None or theirs in found.values():
            return None
        value = dig(row, theirs)
        if ours in one.lists and isinstance(value, str) and value and not holds_turns(value):
            return None  # a chat is a list; a text under such a name is something else
        found[ours] = theirs
    return found


def _listed(row: Mapping[str, Any]) -> str:
    names = [key or "''" for key in names_within(row)]
    return f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else "(none)"
