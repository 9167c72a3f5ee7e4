"""What the keys of a row may mean: names that are almost those of known keys, names that mean the same as one, and the error
for a row of no format, which names data.columns with them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from launcher.data.astext import holds_turns
from launcher.data.reading import Reading
from launcher.data.within import dig, names_within
from launcher.formats.base import ABOUT, Format
from launcher.formats.registry import known_formats

_SHORT = 4
"""Letters up to which a name may differ in one letter only, because short names are often alike by chance."""
_KNOWN = {
    "message_tree_id": "the rows are single messages of OpenAssistant's trees (parent_id says which one each answers), not "
    "chats; take the file of trees (*.trees.jsonl.gz), or train on the texts alone: data.keep=[text]",
    "choices": "a row with choices is a question of an exam, whose answer is a number or a letter; write the question with its "
    "choices as prompt, and the text of the right one as completion",
}
"""What rows with such a column are, if they are of no known format."""


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The known key from which this one differs by at most two letters, added, missing, or others; None if there is none."""
    best: tuple[int, str] | None = None
    for key in known:
        if name[-1:].isdigit() and not key[-1:].isdigit():  # a number counts columns, as in message_1
            continue
        most = 1 if min(len(key), len(name)) <= _SHORT else 2
        if abs(len(key) - len(name)) > most:
            continue
        away = distance(name.lower(), key.lower())
        if away <= most and (best is None or away < best[0]):
            best = (away, key)
    return best[1] if best else None


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
    for ours, theirs in reading.columns:
        if theirs not in row and dig(row, theirs) is None and ours not in row:
            return (
                f"data.columns={{{ours}: {theirs}}}, but the row has no {theirs}; its keys are {_listed(row)}"
            )
    if known := next((text for key, text in _KNOWN.items() if key in row), None):
        return known
    keys = [key for key in names_within(row) if key not in ABOUT and dig(row, key) is not None]
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
    return (
        f"no format has the keys {_listed(row)}; name them with data.columns={{messages: ...}}, "
        "{prompt: ..., completion: ...}, {prompt: ..., chosen: ..., rejected: ...} or {text: ...}"
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
