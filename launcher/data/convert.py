"""Writing the rows of a data file in another format, as a complete file or not at all.

Values that the format cannot hold are refused, never dropped silently.
"""

import csv
import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

from launcher.data.examples import read_examples
from launcher.data.findings import BrokenRow
from launcher.data.kinds import SPOKEN, USUAL_FORMATS, Example, kind_of, to_chat
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.data.unread import Keys, missing_columns, unread, without_effect
from launcher.errors import ConfigError, DataError, unknown
from launcher.formats.base import Format, Writer
from launcher.formats.registry import known_formats, own_format
from launcher.output import warn

_PARQUET_ROWS = 10_000
_TOLD = 10
"""Number of invalid rows that are named; all are counted."""
_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


def convert(
    source: str | Path,
    target: Path,
    to: str,
    reading: Reading | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """The numbers of rows written and of rejected answers left out, after every row of `source` is written in format `to`.

    The file's suffix decides how rows are stored: .jsonl, .json (one array), .csv, .tsv, .parquet. An incomplete file never
    appears under this name.
    """
    if target.suffix not in _SUFFIXES:
        raise DataError(
            f"{target}: the suffix decides how rows are stored, and '{target.suffix}' is unknown; end it in "
            f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}"
        )
    counts = {"rows": 0, "rejected_left_out": 0, "invalid_left_out": 0}
    left_out: list[str] = []
    written = format_of(to)
    keeps_rejected = written.kind == "pair"
    keys = Keys()

    def rows() -> Iterator[dict[str, Any]]:
        for line, example in read_examples(source, reading, left_out, keys):
            try:
                row = write_row(example, to)
            except BrokenRow as fault:
                raise DataError(f"{source}, line {line}: {fault.message}") from None
            counts["rows"] += 1
            counts["rejected_left_out"] += kind_of(example) == "pair" and not keeps_rejected
            if advance:
                advance(1)
            yield row

    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _store(rows(), temporary, target.suffix, written.later_columns)
        counts["invalid_left_out"] = len(left_out)
        for said in left_out[:_TOLD]:
            warn(f"left out: {said}")
        if not counts["rows"]:
            raise DataError(f"{source} holds no rows; there is nothing to convert")
        _tell(str(source), keys, reading or AS_IT_STANDS)
        temporary.replace(target)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return counts


def _tell(source: str, keys: Keys, reading: Reading) -> None:
    """Warns of keys that were not read; DataError if data.columns names one that no row has."""
    if said := missing_columns(reading, keys.mapped):
        raise DataError(f"{source}: {said}")
    if said := unread(keys.dropped):
        warn(f"{source}: {said}")
    for said in without_effect(reading, keys.mapped):
        warn(f"{source}: {said}")


def _store(rows: Iterator[dict[str, Any]], path: Path, suffix: str, later: Sequence[str]) -> None:
    if suffix == ".parquet":
        _store_parquet(rows, path)
    elif suffix in (".csv", ".tsv"):
        _store_csv(rows, path, "\t" if suffix == ".tsv" else ",", later)
    else:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            array = suffix == ".json"
            for number, row in enumerate(rows):
                lead = ("[\n" if number == 0 else ",\n") if array else ""
                file.write(f"{lead}{json.dumps(row, ensure_ascii=False)}{'' if array else chr(10)}")
            if array:
                file.write("\n]\n")


def _store_csv(rows: Iterator[dict[str, Any]], path: Path, delimiter: str, later: Sequence[str]) -> None:
    """The columns are the keys of the first row and the `later` ones, which only other rows can have. Lists are JSON cells."""
    first = next(rows, None)
    if first is None:
        return
    names = list(dict.fromkeys([*first, *later]))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter=delimiter)
        writer.writeheader()
        for row in chain([first], rows):
            writer.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    """The row with tools and the arguments of calls as JSON in a string.

    A column of objects has the keys of all rows, so a null argument could not be distinguished from a missing one.
    """
    kept = {
        key: [_turn_as_text(turn) for turn in value] if _is_turns(value) else value
        for key, value in row.items()
    }
    if isinstance(kept.get("tools"), list):
        kept["tools"] = json.dumps(kept["tools"], ensure_ascii=False)
    return kept


def _is_turns(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(turn, dict) and "tool_calls" in turn for turn in cast("list[Any]", value)
    )


def _turn_as_text(turn: dict[str, Any]) -> dict[str, Any]:
    calls: list[dict[str, Any]] = turn.get("tool_calls") or []
    if not calls:
        return turn
    return {
        **turn,
        "tool_calls": [{**call, "function": _function_as_text(call["function"])} for call in calls],
    }


def _function_as_text(function: dict[str, Any]) -> dict[str, Any]:
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {**function, "arguments": text}


def _store_parquet(rows: Iterator[dict[str, Any]], path: Path) -> None:
    """Writes row groups, all of which have the schema of the first."""
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow; pip install pyarrow") from None
    writer: Any = None
    try:
        while group := list(islice(rows, _PARQUET_ROWS)):
            table = arrow.Table.from_pylist([_as_text(row) for row in group])
            writer = writer or parquet.ParquetWriter(path, table.schema)
            if table.schema != writer.schema:  # values outside of the first schema would be dropped silently
                raise DataError("Parquet has one schema and these rows have several; write .jsonl instead")
            writer.write_table(table)
    except (arrow.ArrowException, NotImplementedError) as error:
        raise DataError(
            f"Parquet cannot hold these rows ({str(error).splitlines()[0]}); write .jsonl"
        ) from None
    finally:
        if writer:
            writer.close()


def usual_target(source: str | Path, reading: Reading) -> str:
    """The format in which rows of the first row's kind are written if none is named; DataError for a file without rows."""
    for _, example in read_examples(source, reading, []):
        chat_of_class = "labels" in example and "messages" in example
        return "chat_label" if chat_of_class else USUAL_FORMATS[kind_of(example)]
    raise DataError(f"{source} holds no rows; there is nothing to convert")


def targets() -> tuple[str, ...]:
    """All values of `data convert --to`."""
    return tuple(known_formats().writers)


def format_of(name: str) -> Format:
    """The format that writes rows under this name; ConfigError for an unknown name."""
    return _writer(name)[0]


def write_row(example: Example, name: str) -> dict[str, Any]:
    """The example as a row of the format `name`; BrokenRow if that format cannot hold all of it."""
    target, write = _writer(name)
    kind = kind_of(example)
    if kind not in target.writes:
        held = " or ".join(f"{SPOKEN[one]}s" for one in target.writes)
        raise BrokenRow(
            "format",
            f"a {SPOKEN[kind]} cannot be written as {name}, which holds {held}; use --to {own_format(kind)}",
        )
    if not target.from_chat:
        return write(example)
    if not example.get("label", True):
        raise BrokenRow("format", f"{name} cannot mark an answer as bad; use --to {own_format(kind)}")
    return write(to_chat(example))


def _writer(name: str) -> tuple[Format, Writer]:
    found = known_formats().writers.get(name)
    if found is None:
        raise ConfigError(f"--to {name}: {unknown('row format', name, targets())}")
    return found


def check_free(target: Path, force: bool) -> None:
    """DataError if the file exists and `force` is not given, or if its folder does not exist."""
    if target.exists() and not (force and target.is_file()):
        raise DataError(f"{target} exists; give --force to overwrite it, or another name")
    if not target.absolute().parent.is_dir():
        raise DataError(f"{target.absolute().parent} is not a folder; create it, or choose another one")
