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
    header: tuple[str, ...] = ()
    """The columns of the table that it is a row of; those whose cells are empty are left out of the value."""
    unit: str = "line"
    """What the number counts: lines, or rows where several stand on one line or on none."""

    def where(self, path: str) -> str:
        """The place for a person; `path` is what was read, if it is one file."""
        return (
            f"{self.file}, {self.unit} {self.line_there}" if self.file else f"{path}, {self.unit} {self.line}"
        )
