"""The rows of data files, each with its physical line: JSONL, JSON, CSV, TSV, plain text, Parquet, Arrow; also compressed ones.

A byte-order mark, CRLF, blank lines and lines of any length are accepted. Only a file whose rows stand in an object is held in
memory as a whole.
"""

import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO

from launcher.data.array import read_array
from launcher.data.encodings import way_out
from launcher.data.findings import BrokenRow
from launcher.data.not_json import why_not_json
from launcher.data.places import find_files, open_file
from launcher.data.row import Row, decode
from launcher.data.storage import BOM, broken_stream, storage
from launcher.data.tables import read_arrow, read_csv, read_parquet
from launcher.data.wrapped import read_objects
from launcher.errors import DataError

NOT_UTF8 = "not_utf8"
NOT_UTF8_SAID = "not UTF-8"
_BLOCK = 1 << 20
_LONGEST_LINE = 256 << 20
"""Bytes of the longest line that is read: a small compressed file can hold a line that is larger than the memory."""


@dataclass(slots=True)
class Sections:
    """Where the rows of each of several files begin, if lines are numbered over all of them."""

    starts: list[int] = field(default_factory=list[int])
    """Number before the first line of each file, ascending."""
    files: list[str] = field(default_factory=list[str])
    units: list[str] = field(default_factory=list[str])
    """What the line numbers of each file count: line or row."""

    def begin(self, file: str, offset: int) -> None:
        """The next file begins after the line with this number."""
        self.starts.append(offset)
        self.files.append(file)
        self.units.append("line")

    def where(self, line: int) -> tuple[str | None, int]:
        """The file of a line and its number there; no file if there is only one."""
        if len(self.files) < 2:
            return None, line
        at = bisect_right(self.starts, line - 1) - 1
        return self.files[at], line - self.starts[at]

    def unit(self, line: int) -> str:
        """What the number of a line counts in its file: line or row."""
        at = max(bisect_right(self.starts, line - 1) - 1, 0)
        return self.units[at] if self.units else "line"

    def said(self, line: int) -> str:
        """The place as messages show it: the file if there are several, and the line or row in it."""
        file, there = self.where(line)
        place = f"{self.unit(line)} {there}"
        return place if file is None else f"{file}, {place}"


def read_rows(place: str | Path) -> Iterator[Row]:
    """Every row of the files of a file, a folder, a glob or an address, in order; lines are numbered over all of them."""
    return read_numbered(find_files(place), Sections())


def read_numbered(files: tuple[str, ...], sections: Sections) -> Iterator[Row]:
    """Every row of the files, lines numbered over all of them; `sections` gets where each file begins."""
    offset, alone = 0, len(files) == 1
    for file in files:
        sections.begin(file, offset)
        last = 0
        for row in read_file(file):
            last = row.line
            sections.units[-1] = row.unit
            yield row if alone else row._replace(line=last + offset, file=file, line_there=last)
        offset += last


def read_file(file: str) -> Iterator[Row]:
    """Every row of one file; DataError if it cannot be read, or if a compressed file is damaged or incomplete."""
    kind = storage(file)
    try:
        with open_file(file) as content:
            yield from _with_way_out(_read(content, kind, file), file)
    except (EOFError, zlib.error, LZMAError, OSError) as error:
        raise broken_stream(file, error) from None


def _with_way_out(rows: Iterator[Row], file: str) -> Iterator[Row]:
    """The rows, of which those that are not UTF-8 say how the file is converted."""
    how = ""
    for row in rows:
        if row.fault and row.fault.rule == NOT_UTF8:
            how = how or way_out(file)
            row = row._replace(fault=BrokenRow(NOT_UTF8, row.fault.message + how, row.fault.whole))
        yield row


def _read(content: BinaryIO, kind: str, file: str) -> Iterator[Row]:
    if kind == "parquet":
        yield from read_parquet(content, file)
    elif kind == "arrow":
        yield from read_arrow(content, file)
    elif kind == "csv":
        yield from read_csv(content)
    elif kind == "json":
        yield from read_array(content)
    elif kind == "object":
        raw = content.read()
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            yield Row(1, None, BrokenRow(NOT_UTF8, NOT_UTF8_SAID, whole=True))
            return
        yield from read_objects(text, file)
    else:
        line = 1
        for block in _blocks(content, file):
            yield from parse_lines(_without_marks(block) if line == 1 else block, line, text=kind == "txt")
            line += block.count(b"\n")


def _without_marks(block: bytes) -> bytes:
    """The block without byte-order marks at its beginning; a file that was converted twice has several."""
    while block.startswith(BOM):
        block = block[len(BOM) :]
    return block


def parse_lines(block: bytes, first_line: int, text: bool = False) -> Iterator[Row]:
    """The rows of complete lines, the first of which is line `first_line`; with `text`, each line is the text of a row.

    A fault of their encoding does not say how the file is converted: only the whole file shows that.
    """
    for line, raw in enumerate(block.split(b"\n"), start=first_line):
        if not raw or raw.isspace():
            continue
        try:
            content = raw.decode()
            yield Row(line, {"text": content.rstrip("\r")} if text else decode(content))
        except UnicodeDecodeError:
            yield Row(line, None, BrokenRow(NOT_UTF8, NOT_UTF8_SAID))
        except BrokenRow as fault:
            yield Row(line, None, fault)
        except (ValueError, RecursionError) as error:
            yield Row(line, None, BrokenRow("not_json", why_not_json(raw, error)))


def _blocks(content: BinaryIO, file: str) -> Iterator[bytes]:
    """The file in pieces that end at the end of a line; DataError for a line that is too long."""
    pieces: list[bytes] = []
    while piece := content.read(_BLOCK):
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*pieces, piece[:end]])
            pieces = [piece[end:]]
        else:
            pieces.append(piece)
            if len(pieces) * _BLOCK > _LONGEST_LINE:
                raise DataError(
                    f"{file} has a line of more than {_LONGEST_LINE >> 20} MiB; write each row on a line of its own"
                )
    yield b"".join(pieces)
