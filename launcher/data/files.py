"""The rows of a data file, each with its physical line: JSONL, a JSON array, CSV, TSV, plain text, Parquet.

A byte-order mark, CRLF, blank lines and lines of any length are accepted. The file is never held in memory as a whole.
"""

import csv
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from launcher.data.rules import BrokenRow
from launcher.errors import DataError
from launcher.formats.registry import known_formats

BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 20
_SPACE = re.compile(r"\s*")


class Row(NamedTuple):
    """One row as it is in the file: its value, or what is wrong with it."""

    line: int
    value: Any
    fault: BrokenRow | None = None


def storage(path: Path) -> str:
    """The storage of the rows of this file: jsonl, json, csv, txt or parquet; DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; give the path of a JSONL, JSON, CSV or Parquet file"
        ) from None
    if head.startswith(b"PAR1"):
        return "parquet"
    if path.suffix in (".csv", ".tsv", ".txt"):
        return "txt" if path.suffix == ".txt" else "csv"
    return "json" if head.removeprefix(BOM).lstrip().startswith(b"[") else "jsonl"


def read_rows(path: Path) -> Iterator[Row]:
    """Every row of the file, in order."""
    kind = storage(path)
    if kind == "parquet":
        yield from _read_parquet(path)
    elif kind == "csv":
        yield from _read_csv(path)
    elif kind == "json":
        yield from _read_array(path)
    else:
        line = 1
        with path.open("rb") as file:
            for block in _blocks(file):
                yield from parse_lines(
                    block.removeprefix(BOM) if line == 1 else block, line, text=kind == "txt"
                )
                line += block.count(b"\n")


def parse_lines(block: bytes, first_line: int, text: bool = False) -> Iterator[Row]:
    """The rows of complete lines, the first of which is line `first_line`; with `text`, each line is the text of a row."""
    for line, raw in enumerate(block.split(b"\n"), start=first_line):
        if not raw or raw.isspace():
            continue
        try:
            content = raw.decode()
            yield Row(line, {"text": content.rstrip("\r")} if text else json.loads(content))
        except UnicodeDecodeError as error:
            fault = (
                f"not UTF-8 (byte {error.start + 1} of the line: {error.reason}); convert the file with iconv"
            )
            yield Row(line, None, BrokenRow("not_utf8", fault))
        except (ValueError, RecursionError) as error:
            fault = f"not JSON ({error}); write each row as one JSON object on one line"
            yield Row(line, None, BrokenRow("not_json", fault))


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """The file in pieces that end at the end of a line."""
    pieces: list[bytes] = []
    while piece := file.read(_BLOCK):
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*pieces, piece[:end]])
            pieces = [piece[end:]]
        else:
            pieces.append(piece)
    yield b"".join(pieces)


def _read_array(path: Path) -> Iterator[Row]:
    """The items of one JSON array, decoded while the file is read; the first invalid item ends it."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8-sig", newline="") as file:
        text, at, line, separator = "", 0, 1, "["
        while True:
            try:
                if _skip_space(text, at) == len(text):
                    raise ValueError("the array is not closed with ]")
                item = _item_start(text, at, separator)
                if item is None:
                    if file.read().strip():
                        raise ValueError("there is more behind the closing ]")
                    return
                value, end = decoder.raw_decode(text, item)
            except UnicodeDecodeError as error:
                yield _not_utf8(line, error)
                return
            except (ValueError, RecursionError) as error:
                text, at = text[at:], 0
                try:
                    block = file.read(max(_BLOCK, len(text)))
                except UnicodeDecodeError as fault:
                    yield _not_utf8(line, fault)
                    return
                if block:
                    text += block
                    continue
                line += text.count("\n", 0, _skip_to_item(text))
                message = f"not JSON ({str(error).partition(': line')[0]}); the file is one array of objects"
                yield Row(line, None, BrokenRow("not_json", message))
                return
            line += text.count("\n", at, item)
            yield Row(line, value)
            line += text.count("\n", item, end)
            at, separator = end, ","
            if at > _BLOCK // 2:
                text, at = text[at:], 0


def _not_utf8(line: int, error: UnicodeDecodeError) -> Row:
    message = f"not UTF-8 within the next megabyte ({error.reason}); convert the file with iconv"
    return Row(line, None, BrokenRow("not_utf8", message))


def _item_start(text: str, at: int, separator: str) -> int | None:
    """The start of the next item, after its separator; None after the end of the array."""
    start = _skip_space(text, at)
    if text[start : start + 1] == separator:
        start = _skip_space(text, start + 1)
        if separator == "," or text[start : start + 1] != "]":
            return start
    elif separator == "[" or text[start : start + 1] != "]":
        raise ValueError(f"{separator} is missing")
    if text[start + 1 :].strip():
        raise ValueError("there is more behind the closing ]")
    return None


def _skip_to_item(text: str) -> int:
    start = _skip_space(text, 0)
    return _skip_space(text, start + 1) if text[start : start + 1] in ("[", ",") else start


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _read_csv(path: Path) -> Iterator[Row]:
    """The records below the header. Empty cells are left out, and cells that hold lists are read as JSON."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        delimiter = max(",;\t", key=header.count)
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter)
        names = next(reader, cast("list[str]", []))
        if not _is_utf8(names):
            yield Row(1, None, BrokenRow("not_utf8", "the header is not UTF-8; convert the file with iconv"))
            return
        line = reader.line_num + 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(line, None, BrokenRow("format", f"not CSV ({error})"))
                return
            if cells:
                yield _record(line, names, cells)
            line = reader.line_num + 1


def _record(line: int, names: list[str], cells: list[str]) -> Row:
    if len(cells) > len(names):
        fault = f"{len(cells)} cells, but the header has {len(names)}; quote cells that hold a comma or a line break"
        return Row(line, None, BrokenRow("format", fault))
    if not _is_utf8(cells):
        return Row(line, None, BrokenRow("not_utf8", "not UTF-8; convert the file with iconv"))
    known = known_formats()
    row: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=False):
        if not cell:
            continue
        row[name] = cell
        if name in known.json_columns or (name in known.text_or_turns and cell.startswith('[{"role"')):
            try:
                row[name] = json.loads(cell)
            except ValueError as error:
                return Row(line, None, BrokenRow("not_json", f"column {name} is not JSON ({error})"))
    return Row(line, row)


def _is_utf8(cells: list[str]) -> bool:
    """Whether surrogateescape has replaced no byte of the cells by half a surrogate pair."""
    return not any("\udc80" <= character <= "\udcff" for cell in cells for character in cell)


def _read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, counted from 1; columns and keys without a value are left out."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow; pip install pyarrow") from None
    try:
        number = 0
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=1000):
            for value in batch.to_pylist():
                number += 1
                yield Row(number, without_nulls(value))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is not a Parquet file ({str(error).splitlines()[0]}); write it again"
        ) from None


def without_nulls(value: Any) -> Any:
    """The value without keys that are null, because a table gives every row the keys of all columns."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return {name: without_nulls(item) for name, item in items.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in cast("list[Any]", value)]
    return value
