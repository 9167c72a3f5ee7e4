"""What every command prints: JSON for a machine, aligned columns for a person, and warnings on stderr."""

import contextlib
import dataclasses
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 160
"""Width of a table in characters if there is no terminal."""


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with control characters and marks of direction as visible escapes, so that a terminal does not obey them."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Prints what a verb's `prints` declares, as one JSON document."""
    print(as_json(value, indent=indent), flush=True)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON; a number that is NaN or infinite is null, since JSON has no word for it. A dataclass is an object."""
    return json.dumps(plain(value), allow_nan=False, indent=indent)


def fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, not copied."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def plain(value: Any) -> Any:
    """The value as --json prints it: made only of objects, lists, texts, numbers, true, false and null."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(fields(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def align(lines: list[tuple[str, str]]) -> str:
    """Labels in one column."""
    lines = [(visible(label), visible(text)) for label, text in lines]
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}".rstrip() for label, text in lines)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without lines between its cells: each column is as wide as its longest cell."""
    every = [[visible(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[at]) for row in every) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    )


def print_text(text: str = "", *, end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Prints for a person, on stdout or on `file`. Most output has names or texts of other people in it, so the characters that
    control a terminal are shown as escapes."""
    print(visible(text), end=end, file=file, flush=flush)


def say(text: str) -> None:
    """Prints one line on stderr, with the program's name. If stderr is full or its reader has gone, the line is lost and the
    command continues, because its result is never on stderr."""
    try:
        print(f"launcher: {visible(text)}", file=sys.stderr, flush=True)
    except OSError:
        with contextlib.suppress(
            OSError
        ):  # otherwise the rest of its buffer would fail again at the interpreter's end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def warn(text: str) -> None:
    """Prints a warning as one line on stderr."""
    say(f"warning: {text}")


def print_table(table: Any) -> None:
    """Prints a table or text of rich, as wide as the terminal, or wide enough for a table if there is no terminal."""
    wide_console().print(table)


def wide_console() -> "Console":
    """A rich console on stdout; if there is no terminal it is wide enough for a table."""
    console = make_console()
    return console if console.is_terminal else make_console(width=_WIDE)


def make_console(**options: Any) -> "Console":
    """A rich console that shows control characters as escapes, except those that rich writes for colours and the cursor."""
    from rich.console import Console, ConsoleOptions, RenderableType  # imported here: few commands need it
    from rich.segment import Segment

    class VisibleConsole(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for one in super().render(renderable, options):
                yield one if one.control else Segment(visible(one.text), one.style)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would end the process with exit code 1

    return VisibleConsole(**options)
