"""A progress bar for a person while a data file is read."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from sys import stderr

from launcher.output import make_console

_SHOW_FROM = 8 << 20
"""Size in bytes from which a bar is shown."""


@contextmanager
def progress(place: str | Path, what: str, unit: str = "bytes") -> Generator[Callable[[int], None]]:
    """A function to call with the number of bytes, or rows, just done. stderr shows a bar for a large file on a terminal."""
    path = Path(place)
    size = path.stat().st_size if path.is_file() else 0
    if size < _SHOW_FROM or not stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        if unit == "bytes"
        else (TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())
    )
    with Progress(
        TextColumn("{task.description}"), *columns, console=make_console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(what, total=size if unit == "bytes" else None)
        yield lambda done: bar.advance(task, done)
