"""What the keys of a row that is of no format may mean: the error that names data.columns with them."""

from collections.abc import Mapping
from typing import Any

from launcher.data.names import misspelt
from launcher.data.reading import Reading
from launcher.formats.base import ABOUT
from launcher.formats.registry import known_formats


def no_format(row: Mapping[str, Any], reading: Reading) -> str:
    """Why the row is of no format, in one sentence with what may be meant."""
    for ours, theirs in reading.columns:
        if ours not in row:
            return (
                f"data.columns={{{ours}: {theirs}}}, but the row has no {theirs}; its keys are {_listed(row)}"
            )
    keys = [key for key in row if key not in ABOUT and row[key] is not None]
    formats = known_formats().formats
    for one in formats.values():
        for key in keys:
            meant = misspelt(key, one.keys)
            if meant and key not in one.keys and one.matches({**row, meant: row[key]}):
                return (
                    f"no format has the keys {_listed(row)}; did you mean {meant}? Rename {key}, or set "
                    f"data.columns={{{meant}: {key}}}"
                )
    for one in formats.values():
        columns = _meant(keys, one.meanings)
        if columns and one.matches({ours: row[theirs] for ours, theirs in columns.items()}):
            said = ", ".join(f"{ours}: {theirs}" for ours, theirs in columns.items() if ours != theirs)
            return (
                f"no format has the keys {_listed(row)}; perhaps data.columns={{{said}}} says what they mean"
            )
    return (
        f"no format has the keys {_listed(row)}; name them with data.columns={{messages: ...}}, "
        "{prompt: ..., completion: ...}, {prompt: ..., chosen: ..., rejected: ...} or {text: ...}"
    )


def _meant(keys: list[str], meanings: Mapping[str, tuple[str, ...]]) -> dict[str, str] | None:
    """Key of the format -> the row's key that means it; None if one of the format's is not found."""
    found: dict[str, str] = {}
    for ours, others in meanings.items():
        theirs = next((key for key in keys if key.lower() in (ours, *others)), None)
        if theirs is None or theirs in found.values():
            return None
        found[ours] = theirs
    return found


def _listed(row: Mapping[str, Any]) -> str:
    names = [key or "''" for key in row]
    return f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else "(none)"
