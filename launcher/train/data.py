"""Data files and hub data sets -> token ids and labels."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset

from launcher.config import Config
from launcher.dataset.examples import example_of, read_examples
from launcher.dataset.files import Row, without_nulls
from launcher.dataset.formats import Example
from launcher.dataset.hub import parse_hub
from launcher.dataset.mask import IGNORED, encode
from launcher.dataset.rules import BrokenRow
from launcher.errors import DataError


def tokenized(paths: str | Sequence[str], tokenizer: Any, config: Config) -> Dataset:
    """The examples as input_ids and labels, cut at model.max_length; the trainer adds nothing to them.

    Several paths are those of data.sources. Examples of which no trained token is left after the cut are left out;
    DataError when none remains.
    """
    rows: list[dict[str, list[int]]] = []
    for path, weight, format in sources_of(paths, config):
        encoded = list(_encoded(path, format, tokenizer, config))
        if not encoded:
            raise DataError(
                f"{path}: no example has a trained token within model.max_length={config.model.max_length}; raise it"
            )
        rows += repeat(encoded, weight, config.seed)
    return Dataset.from_list(rows)


def repeat(rows: list[Any], weight: float, seed: int) -> list[Any]:
    """Every row as often as the whole part of `weight`, and the rest drawn by the seed; at least one row."""
    whole = int(weight)
    rest = round((weight - whole) * len(rows))
    chosen = sorted(random.Random(seed).sample(range(len(rows)), rest))
    return rows * whole + [rows[index] for index in chosen] or rows[:1]


def sources_of(paths: str | Sequence[str], config: Config) -> list[tuple[str, float, str]]:
    """(path, weight, format) of each training set, or of the one file that is meant."""
    if isinstance(paths, str):
        return [(paths, 1.0, config.data.format.name)]
    sources = config.data.sources
    return [(path, one.weight, one.format.name) for path, one in zip(paths, sources, strict=True)]


def _encoded(path: str, format: str, tokenizer: Any, config: Config) -> Iterator[dict[str, list[int]]]:
    for line, example in examples_of(path, format):
        row = encode(example, tokenizer, config.trainer.assistant_only_loss, f"{path}, line {line}")
        row = {name: values[: config.model.max_length] for name, values in row.items()}
        if any(label != IGNORED for label in row["labels"]):
            yield row


def examples_of(path: str, format: str) -> Iterator[tuple[int, Example]]:
    """Line and common form of every row of a file or hub data set; DataError for the first wrong one."""
    if not path.startswith("hub:"):
        yield from read_examples(Path(path), format)
        return
    name = parse_hub(path)
    try:
        found = datasets.load_dataset(name.name, name.subset, split=name.split, revision=name.revision)
    except (OSError, ValueError) as error:  # datasets' own errors are kinds of both
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"data.path={path} cannot be read from the hub on this node ({reason})") from None
    for number, value in enumerate(found, start=1):
        try:
            yield number, example_of(Row(number, without_nulls(value)), format)
        except BrokenRow as fault:
            raise DataError(f"{path}, row {number}: {fault.message} [{fault.rule}]") from None
