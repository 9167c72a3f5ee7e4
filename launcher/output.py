"""What every command prints: JSON for a machine, aligned columns for a person, and on stderr what is doubtful."""

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 160
"""Columns of a table that no terminal shows."""


def as_json(value: Any) -> str:
    """The value as JSON for a machine; NaN and infinity become null, since JSON has no word for them."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def align(lines: list[tuple[str, str]]) -> str:
    """Labels in one column."""
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}".rstrip() for label, text in lines)


def say(text: str) -> None:
    """Prints one line on stderr, with the program's name."""
    print(f"launcher: {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Prints a warning as one line on stderr."""
    say(f"warning: {text}")


def print_table(table: Any) -> None:
    """Prints something of rich's, as wide as the terminal, or wide enough for a table if there is no terminal."""
    wide_console().print(table)


def wide_console() -> "Console":
    """A console of rich's on stdout; if there is no terminal it is wide enough for a table."""
    from rich.console import Console  # by need

    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)
