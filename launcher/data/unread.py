"""Keys of rows that are not read: those that no format has, and those that the configuration names and no row has."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from launcher.data.read import ReadRow
from launcher.data.reading import Reading
from launcher.data.row import Row


@dataclass(slots=True)
class Keys:
    """The keys of the rows of a file, as they were read."""

    dropped: Counter[str] = field(default_factory=Counter[str])
    """Keys that no format has, with their number of rows."""
    mapped: Counter[str] = field(default_factory=Counter[str])
    """Keys that data.columns, data.drop and data.keep name, with the number of rows that have them."""

    def add(self, row: Row, found: ReadRow, reading: Reading) -> None:
        """Counts the keys of one row."""
        if found.dropped:
            self.dropped.update(dict.fromkeys(found.dropped, 1))
        if reading.named:
            self.mapped.update(reading.present(dict.fromkeys(row.header) | row.value))


def unread(dropped: Counter[str]) -> str | None:
    """The sentence on keys that no format has; None if there are none."""
    if not dropped:
        return None
    listed = ", ".join(f"{name} ({number:,})" for name, number in dropped.most_common())
    names = ",".join(name for name, _ in dropped.most_common() if "[]" not in name)
    meant = f"; data.drop=[{names}] says that this is intended" if names else ""
    return f"keys that are not read, with their number of rows: {listed}{meant}"


def without_effect(reading: Reading, mapped: Counter[str]) -> Iterator[str]:
    """A sentence for each of data.drop and data.keep that names keys which no row has."""
    for key, names in (("drop", reading.drop), ("keep", reading.keep)):
        if missing := [name for name in names if not mapped[name]]:
            yield f"data.{key}=[{','.join(missing)}], but {_no_row(missing)}"


def missing_columns(reading: Reading, mapped: Counter[str]) -> str | None:
    """The sentence on columns of data.columns that no row has; None if all are there."""
    missing = [(ours, theirs) for ours, theirs in reading.columns if not mapped[theirs]]
    if not missing:
        return None
    named = ", ".join(f"{ours}: {theirs}" for ours, theirs in missing)
    return f"data.columns={{{named}}}, but {_no_row([theirs for _, theirs in missing])}"


def _no_row(names: Sequence[str]) -> str:
    return f"no row has the column{'s' if len(names) > 1 else ''} {', '.join(names)}"
