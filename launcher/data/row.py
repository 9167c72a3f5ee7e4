"""One row as it is in a file."""

from typing import Any, NamedTuple

from launcher.data.rules import BrokenRow


class Row(NamedTuple):
    """The value of one row, or what is wrong with it."""

    line: int
    value: Any
    fault: BrokenRow | None = None
    file: str = ""
    """The file, if the rows are those of several."""
