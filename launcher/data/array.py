"""The rows of a JSON array, decoded item by item while the file is read."""

import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

from launcher.data.findings import BrokenRow
from launcher.data.row import DECODER, Row, check_single

_BLOCK = 1 << 20
"""Characters that are read at once."""
_SPACE = re.compile(r"\s*")


def read_array(content: BinaryIO, block: int = _BLOCK) -> Iterator[Row]:
    """The items of one JSON array, decoded while the file is read; the first invalid item ends it.

    They have the numbers of their lines, or count from 1 as rows if the second begins on the line of the first.
    """
    items = _items(content, block)
    begin = [*islice(items, 2)]
    if len(begin) < 2 or begin[0].line != begin[1].line or begin[1].value is None:
        yield from chain(begin, items)
        return
    for number, row in enumerate(chain(begin, items), start=1):
        yield row._replace(line=number, unit="row")


def _items(content: BinaryIO, most: int) -> Iterator[Row]:
    with io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as file:
        text, at, line, separator = "", 0, 1, "["
        while True:
            try:
                if _skip_space(text, at) == len(text):
                    raise ValueError("the array is not closed with ]")
                item = _item_start(text, at, separator)
                if item is None:
                    if file.read().strip():
                        raise ValueError("there is more text after the closing ]")
                    return
                value, end = DECODER.raw_decode(text, item)
            except UnicodeDecodeError:
                yield _not_utf8(line)
                return
            except (ValueError, RecursionError) as error:
                text, at = text[at:], 0
                try:
                    block = file.read(max(most, len(text)))
                except UnicodeDecodeError:
                    yield _not_utf8(line)
                    return
                if block:
                    text += block
                    continue
                line += text.count("\n", 0, _skip_to_item(text))
                message = f"not JSON ({str(error).partition(': line')[0]}); the file is one array of objects"
                yield Row(line, None, BrokenRow("not_json", message, whole=True))
                return
            line += text.count("\n", at, item)
            yield _single(line, value)
            line += text.count("\n", item, end)
            at, separator = end, ","
            if at > most // 2:
                text, at = text[at:], 0


def _not_utf8(line: int) -> Row:
    return Row(line, None, BrokenRow("not_utf8", "not UTF-8 within the next megabyte", whole=True))


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
        raise ValueError("there is more text after the closing ]")
    return None


def _skip_to_item(text: str) -> int:
    start = _skip_space(text, 0)
    return _skip_space(text, start + 1) if text[start : start + 1] in ("[", ",") else start


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _single(line: int, value: Any) -> Row:
    """The row, or what is wrong with it if a key occurs twice in it."""
    try:
        check_single()
    except BrokenRow as fault:
        return Row(line, None, fault)
    return Row(line, value)
