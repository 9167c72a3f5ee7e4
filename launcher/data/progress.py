"""A progress bar over a data file, for a person who waits."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from sys import stderr

_SHOW_FROM = 8 << 20
"""Bytes from which there is a bar."""


@contextmanager
def progress(path: Path, what: str, unit: str = "bytes") -> Generator[Callable[[int], None]]:
    """What to tell of every byte, or row, that is done; on a terminal and for a large file it is shown on stderr."""
    size = path.stat().st_size if path.is_file() else 0
    if size < _SHOW_FROM or not stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # a small file's launch does without
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
        TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(what, total=size if unit == "bytes" else None)
        yield lambda done: bar.advance(task, done)
