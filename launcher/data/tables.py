"""The rows of CSV and TSV files, with the physical line of each, and of Parquet and Arrow files, counted from 1."""

import csv
import importlib
import io
import re
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from launcher.data.astext import holds_turns, holds_value
from launcher.data.findings import BrokenRow
from launcher.data.row import Row, value_in
from launcher.data.transcript import is_chat
from launcher.errors import DataError
from launcher.formats.registry import known_formats

_SEPARATOR = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)
"""The line that Excel puts before the names to say what separates the cells."""
_APOSTROPHES = (
    "the cells are quoted with apostrophes ('), and CSV quotes with \"; python3 -c 'import csv, sys; "
    "csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, quotechar=chr(39)))' < OLD > NEW changes them"
)
_RECORDS_IN_A_CELL = 20
"""If at least so many lines of one cell look like records of the file, the quote before them counts as not closed."""


def read_csv(content: BinaryIO) -> Iterator[Row]:
    """The records below the header. Empty cells are left out, and cells that hold lists are read as JSON."""
    csv.field_size_limit(sys.maxsize)
    with io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        named = _SEPARATOR.fullmatch(header)
        before = 1 if named else 0
        if named:
            header = file.readline()
        delimiter = named[1] if named else max(",;\t|", key=header.count)
        reader = csv.reader(_lines(header, file), delimiter=delimiter, strict=True)
        line = 1 + before
        names: list[str] = []
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(
                    line, None, BrokenRow("format", _why(error, line, reader.line_num + before), whole=True)
                )
                return
            if not names:
                names = cells
                fault = _wrong_header(names)
                if fault:
                    yield Row(line, None, fault)
                    return
            elif cells:
                yield _record(line, names, cells, delimiter)
            line = reader.line_num + before + 1


def _lines(first: str, file: io.TextIOWrapper) -> Iterator[str]:
    if first:
        yield first
    yield from file


def _why(error: csv.Error, line: int, until: int) -> str:
    said = str(error)
    if "expected after" in said and line == until:
        return 'a quote (") within a cell is not written twice; write "" for it, or take it out'
    if "unexpected end" in said or "expected after" in said:
        until_said = "to the end of the file" if "unexpected end" in said else f"to line {until}"
        return (
            f'a quote (") that opens in this record is not closed: all of it {until_said} would be one cell; close the '
            f'quote in line {line}, or write quotes within a cell twice ("")'
        )
    return f"not CSV ({said})"


def _wrong_header(names: list[str]) -> BrokenRow | None:
    if not _is_utf8(names):
        return BrokenRow("not_utf8", "the header is not UTF-8", whole=True)
    if len(names) > 1 and all(len(name) > 1 and name[0] == name[-1] == "'" for name in names):
        return BrokenRow("format", _APOSTROPHES, whole=True)
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        return BrokenRow(
            "duplicate_key", f"two columns have the name '{twice}'; rename one of the two", whole=True
        )
    return None


def _record(line: int, names: list[str], cells: list[str], delimiter: str) -> Row:
    if cells == names:
        return Row(
            line, None, BrokenRow("format", "the line of names again, as where files were joined; remove it")
        )
    if len(cells) > len(names) == 1:
        fault = (
            f"{len(cells)} cells, but the first line has one ({names[0]!r:.40}), so it holds no names of columns; begin the "
            "file with the names"
        )
        return Row(line, None, BrokenRow("format", fault))
    if len(cells) > len(names):
        fault = f"{len(cells)} cells, but the header has {len(names)}; quote cells that hold a comma or a line break"
        return Row(line, None, BrokenRow("format", fault))
    if not _is_utf8(cells):
        return Row(line, None, BrokenRow("not_utf8", "not UTF-8"))
    known = known_formats()
    row: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=False):
        if not cell:
            continue
        if "\n" in cell and _holds_records(cell, len(names), delimiter):
            fault = (
                f'the cell {name} holds {cell.count(chr(10)):,} lines that look like records: a quote (") before them is not '
                "closed; close it, or write quotes within a cell twice"
            )
            return Row(line, None, BrokenRow("format", fault, whole=True))
        row[name] = cell
        if name in known.json_columns or (name in known.text_or_turns and holds_turns(cell)):
            try:
                row[name] = value_in(cell)
            except ValueError as error:
                # it may be Python's text of a list, which is read later, or a plain text, which begins with a letter
                if not holds_value(cell) and not cell[0].isalpha() and not is_chat(cell):
                    return Row(line, None, BrokenRow("not_json", f"column {name} is not JSON ({error})"))
    return Row(line, row, header=tuple(names))


def _holds_records(cell: str, columns: int, delimiter: str) -> bool:
    """Whether nearly all lines of the cell, except its first and last, have as many columns as the file."""
    lines = cell.splitlines()[1:-1]
    if columns < 2 or len(lines) < _RECORDS_IN_A_CELL:
        return False
    return sum(line.count(delimiter) == columns - 1 for line in lines) >= 0.95 * len(lines)


def _is_utf8(cells: list[str]) -> bool:
    """Whether the cells are UTF-8: surrogateescape has replaced no byte of them by half a surrogate pair."""
    return not any("\udc80" <= character <= "\udcff" for cell in cells for character in cell)


def read_parquet(content: BinaryIO, file: str) -> Iterator[Row]:
    """The rows of a Parquet file; columns and keys without a value are left out."""
    parquet = _pyarrow("pyarrow.parquet", file)
    try:
        opened = parquet.ParquetFile(content)
        schema = opened.schema_arrow
        yield from _batches(opened.iter_batches(batch_size=1000), tuple(schema.names), _loses_nulls(schema))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} is not a Parquet file ({str(error).splitlines()[0]}); write it again"
        ) from None


def read_arrow(content: BinaryIO, file: str) -> Iterator[Row]:
    """The rows of an Arrow file, as datasets' save_to_disk writes it."""
    arrow = _pyarrow("pyarrow", file)
    try:
        if content.read(6) == b"ARROW1":
            content.seek(0)
            opened = arrow.ipc.open_file(content)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
            yield from _batches(batches, tuple(opened.schema.names))
        else:
            content.seek(0)
            opened = arrow.ipc.open_stream(content)
            yield from _batches(opened, tuple(opened.schema.names))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} is not an Arrow file ({str(error).splitlines()[0]}); write it again"
        ) from None


def _pyarrow(module: str, file: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(f"{file}: Parquet and Arrow files need pyarrow; pip install pyarrow") from None


def _batches(batches: Any, header: tuple[str, ...], lossy: bool = False) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for value in batch.to_pylist():
            number += 1
            lost = lossy and _has_null_argument(value)
            yield Row(number, without_nulls(value), lost_nulls=lost, header=header, unit="row")


def _loses_nulls(schema: Any) -> bool:
    """Whether arguments of calls are stored as objects, which have the keys of all rows."""
    return "arguments: struct" in str(schema)


def _has_null_argument(value: Any, within: bool = False) -> bool:
    """Whether an argument of a call is null, and so could be one that the row never had."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return any(
            (within and item is None) or _has_null_argument(item, name == "arguments") for name, item in items
        )
    return isinstance(value, list) and any(_has_null_argument(item) for item in cast("list[Any]", value))


def without_nulls(value: Any) -> Any:
    """The value without keys that are null, because a table gives every row the keys of all columns."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return {name: without_nulls(item) for name, item in items.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in cast("list[Any]", value)]
    if isinstance(value, bytes):  # a column of binary type, in which some writers keep texts
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value
