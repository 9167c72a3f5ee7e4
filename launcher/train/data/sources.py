"""The examples of a training or evaluation set on the ranks: the rows of its files that are used."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets

from launcher.config import Config
from launcher.data.examples import read_examples, valid_examples
from launcher.data.held_out import Chosen, add_value, checked_values, choose, group_values, rows_of
from launcher.data.hub import parse_hub
from launcher.data.kinds import Example
from launcher.data.portion import Portion, asked_portion
from launcher.data.reading import Reading, reading_of
from launcher.data.row import Row
from launcher.data.tables import without_nulls
from launcher.errors import DataError

TRAIN, EVAL = "train", "eval"
"""The names of the two sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """One file or hub data set, and the rows of it that a set uses."""

    path: str
    weight: float
    reading: Reading
    held: bytes | None
    """One byte for each row, 1 if it is held out; None if no rows are held out of this file."""
    most: int | None
    """Number of rows that are used if none are held out; None uses all."""
    name: str
    """train or eval."""

    def examples(self) -> Iterator[tuple[int, Example]]:
        """Line and common form of every row that this set uses."""
        return rows_of(examples_of(self.path, self.reading), self.held, self.most, out=self.name == EVAL)


def chosen_sources(name: str, paths: str | Sequence[str], config: Config) -> list[DataSource]:
    """The sources of a set. With data.eval_fraction both sets are read from the training files."""
    portion, sources = asked_portion(config), sources_of(paths, config)
    if portion.eval_fraction is None:
        most = portion.eval_max_samples if name == EVAL else portion.max_samples
        return [
            DataSource(path=path, weight=weight, reading=reading, held=None, most=most, name=name)
            for path, weight, reading in sources
        ]
    chosen = _chosen(tuple((path, reading) for path, _, reading in sources), portion)
    found = [
        DataSource(
            path=path,
            weight=1.0 if name == EVAL else weight,
            reading=reading,
            held=held,
            most=None,
            name=name,
        )
        for (path, weight, reading), held in zip(sources, chosen.held, strict=True)
    ]
    return [source for source in found if source.held and source.held.count(name == EVAL)]


@functools.lru_cache(maxsize=1)
def _chosen(sources: tuple[tuple[str, Reading], ...], portion: Portion) -> Chosen:
    """The held-out rows, found once for the training set and the evaluation set."""
    column = portion.eval_group
    named = [_group_values(path, column) if column else {} for path, _ in sources]
    sets = [examples_of(path, reading) for path, reading in sources]
    return choose(sets, portion, lambda number, line: named[number].get(line))


def _group_values(path: str, column: str) -> dict[int, Any]:
    if not path.startswith("hub:"):
        return group_values(path, column)
    found: dict[int, Any] = {}
    columns: dict[str, None] = {}
    for number, value in enumerate(from_hub(path), start=1):
        add_value(found, columns, number, value, column)
    return checked_values(found, columns, path, column)


def sources_of(paths: str | Sequence[str], config: Config) -> list[tuple[str, float, Reading]]:
    """(path, weight, how its rows are read) of each training set, or of the single file."""
    if isinstance(paths, str):
        return [(paths, 1.0, reading_of(config.data))]
    sources = config.data.sources
    return [
        (path, one.weight, reading_of(config.data, at))
        for at, (path, one) in enumerate(zip(paths, sources, strict=True))
    ]


def examples_of(path: str, reading: Reading) -> Iterator[tuple[int, Example]]:
    """Line and common form of every valid row of a file or hub data set.

    DataError for the first invalid one, or, if they may be left out, at the end if they are too many.
    """
    if not path.startswith("hub:"):
        yield from read_examples(path, reading)
        return
    rows = (Row(number, without_nulls(value)) for number, value in enumerate(from_hub(path), start=1))
    yield from valid_examples(rows, path, "row", reading)


def from_hub(path: str) -> Any:
    """The data set, read on this node; DataError if it cannot be read."""
    name = parse_hub(path)
    try:
        return datasets.load_dataset(name.name, name.subset, split=name.split, revision=name.revision)
    except (OSError, ValueError) as error:  # the errors of datasets are subclasses of these
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"data.path={path} cannot be read from the hub on this node ({reason})") from None
