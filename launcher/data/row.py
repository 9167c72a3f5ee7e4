"""One row as it is in a file."""

from typing import Any, NamedTuple

from launcher.data.findings import BrokenRow


class Row(NamedTuple):
    """The value of one row, or what is wrong with it."""

    line: int
    value: Any
    fault: BrokenRow | None = None
    file: str = ""
    """The file, if the rows are those of several; then `line` numbers the lines of all of them through."""
    line_there: int = 0
    """The line in that file."""
    lost_nulls: bool = False
    """Whether arguments of its calls are null in a table, which does not tell null from absent; they are read as absent."""

    @property
    def where(self) -> str:
        """The line for a person, with the file if there are several; empty file: the reader adds it."""
        return f"{self.file}, line {self.line_there}" if self.file else ""
