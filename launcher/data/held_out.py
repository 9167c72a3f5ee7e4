"""Which rows are used, and which of them are held out for evaluation.

The choice depends only on the seed and on the content of the rows, so every process that reads the same files makes the same
choice.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from launcher.config import EvalCopies
from launcher.data.alike import Groups
from launcher.data.files import read_rows
from launcher.data.kinds import Example
from launcher.data.portion import Portion
from launcher.errors import DataError, unknown

Examples = Iterable[tuple[int, Example]]
"""Line and common form of every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The rows of each training set by their number from 0, counted without the rows that are skipped."""

    held: tuple[bytes, ...]
    """One byte for each used row of each set: 1 if it is held out."""
    groups: int
    """Groups of rows that stay together."""
    values: int = 0
    """Different values of data.eval_group."""
    joined: int = 0
    """How many of these values share a group with another one, because a row of one is a copy of a row of the other."""
    largest: int = 0
    """Rows of the largest group."""

    @property
    def held_out(self) -> int:
        """Number of rows that are held out."""
        return sum(held.count(1) for held in self.held)

    @property
    def trained(self) -> int:
        """Number of rows that are left for training."""
        return sum(held.count(0) for held in self.held)


def choose(sets: Sequence[Examples], portion: Portion, group_of: Callable[[int, int], Any]) -> Chosen:
    """The rows that are held out of the first max_samples rows of each set; DataError if none can be.

    `group_of` (set, line) gives the value of data.eval_group. Whole groups of near copies are taken in an order drawn from
    the seed and their content, until the share is reached; a group that is larger than what is missing is passed over.
    """
    groups, contents, sizes = Groups(), list[bytes](), list[int]()
    row_of: dict[Any, int] = {}
    """The first row of each value of data.eval_group."""
    for number, examples in enumerate(sets):
        before = len(groups)
        for line, example in itertools.islice(examples, portion.max_samples):
            name = group_of(number, line)
            if name is not None:
                row_of.setdefault(name, len(groups))
            content = groups.add(example, name)
            contents.append(hashlib.blake2b(content, digest_size=8).digest())
        sizes.append(len(groups) - before)
    if portion.eval_copies == EvalCopies.near.name:
        groups.join_near()
    members: dict[int, list[int]] = {}
    for row in range(len(groups)):
        members.setdefault(groups.root(row), []).append(row)
    if len(members) < 2:
        raise DataError(
            f"data.eval_fraction={portion.eval_fraction:g} cannot hold rows out: "
            + (
                f"all {len(groups)} rows belong together, as {_why_together(portion)}"
                if len(groups) > 1
                else f"there are {len(groups)} rows; give data.eval_path, or more rows"
            )
        )
    held = _draw(list(members.values()), contents, sizes, portion)
    ends = list(itertools.accumulate(sizes, initial=0))
    parts = tuple(bytes(held[start:end]) for start, end in itertools.pairwise(ends))
    together = Counter(groups.root(row) for row in row_of.values())
    return Chosen(
        held=parts,
        groups=len(members),
        values=len(row_of),
        joined=sum(values for values in together.values() if values > 1),
        largest=max(map(len, members.values())),
    )


def _why_together(portion: Portion) -> str:
    """Why rows are kept on one side, and what to do."""
    if portion.eval_copies == EvalCopies.exact.name:
        what = "exact copies of each other" + (
            f" or rows with the same {portion.eval_group}" if portion.eval_group else ""
        )
        return f"{what}; give data.eval_path, or more rows that differ"
    group = f", or has the same {portion.eval_group} (data.eval_group)" if portion.eval_group else ""
    return (
        f"each is a near copy of another{group}; set data.eval_copies=exact, so that only exact copies stay together, or give "
        "data.eval_path"
    )


def _draw(groups: list[list[int]], contents: list[bytes], sizes: list[int], portion: Portion) -> bytearray:
    """One byte for each row: 1 if it is held out."""
    rows = len(contents)
    wanted = max(1, round(rows * (portion.eval_fraction or 0)))
    wanted = min(wanted, portion.eval_max_samples or rows, rows - 1)

    def drawn(group: list[int]) -> bytes:
        seed = f"{portion.seed}:".encode()
        return hashlib.blake2b(seed + min(contents[row] for row in group), digest_size=16).digest()

    set_of = [number for number, size in enumerate(sizes) for _ in range(size)]
    left = Counter(set_of)
    held = bytearray(rows)

    def take(group: list[int]) -> int:
        """The number of rows that are now held out: all or none of the group, because every set keeps a row."""
        taken = Counter(set_of[row] for row in group)
        if any(left[number] == count for number, count in taken.items()):
            return 0
        left.subtract(taken)
        for row in group:
            held[row] = 1
        return len(group)

    missing = wanted
    order = sorted(groups, key=drawn)
    for group in order:
        if len(group) <= missing:
            missing -= take(group)
    if missing == wanted and not any(take(group) for group in sorted(order, key=len)):
        raise DataError(
            f"data.eval_fraction={portion.eval_fraction:g} would leave nothing of a training set: its rows belong together, "
            f"as {_why_together(portion)}"
        )
    return held


def group_values(path: str | Path, column: str) -> dict[int, Any]:
    """Line -> value of that column, for the rows that have it; DataError if none has."""
    found: dict[int, Any] = {}
    columns: dict[str, None] = {}
    before = 0
    for row in read_rows(path):
        if row.line == before:  # of an array with several items on some of its lines only
            raise DataError(
                f"data.eval_group={column}: {row.where(str(path))} holds several rows; write each on a line of its own"
            )
        before = row.line
        value: Any = row.value
        if isinstance(value, dict):
            add_value(found, columns, row.line, cast("dict[str, Any]", value), column)
    return checked_values(found, columns, path, column)


def add_value(
    found: dict[int, Any], columns: dict[str, None], line: int, row: dict[str, Any], column: str
) -> None:
    """Notes the columns of a row, and its value of that column if it has one."""
    columns.update(dict.fromkeys(row))
    value = row.get(column)
    if value is not None:
        found[line] = repr(value)


def checked_values(
    found: dict[int, Any], columns: dict[str, None], path: object, column: str
) -> dict[int, Any]:
    """The values; DataError if no row has the column."""
    if not found:
        raise DataError(f"data.eval_group: {path}: {unknown('column', column, tuple(columns))}")
    return found


def rows_of(
    examples: Examples, held: bytes | None, most: int | None, *, out: bool
) -> Iterator[tuple[int, Example]]:
    """The rows that are held out, or with out=False those that are not; without `held`, the first `most` rows."""
    if held is None:
        yield from itertools.islice(examples, most)
        return
    for mark, row in zip(held, examples, strict=False):
        if bool(mark) is out:
            yield row
