"""Rows in objects that span lines: an array under a name, a table by columns, or rows one after the other."""

import re
from collections.abc import Iterator
from typing import Any, cast

from launcher.data.findings import BrokenRow
from launcher.data.read import detect
from launcher.data.row import DECODER, Row, check_single
from launcher.data.speakers import keys_of
from launcher.errors import DataError

_SPACE = re.compile(r"\s*")
_NAMES = ("train", "data", "rows", "examples", "items", "records", "instances", "samples")
"""Names under which rows are looked for first, if there are several arrays."""
_DEEPEST = 4
"""How many levels of objects within objects are searched for lists of rows."""


def read_objects(text: str, file: str) -> Iterator[Row]:
    """The rows of the text, which is held in memory as a whole."""
    at = _skip(text, 0)
    line, before = 1, 0
    several = False
    while at < len(text):
        line += text.count("\n", before, at)
        before = at
        try:
            value, end = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            said = str(error).partition(": line")[0]
            more = text.count("\n", at, getattr(error, "pos", at))
            yield Row(
                line + more,
                None,
                BrokenRow(
                    "not_json",
                    f"not JSON ({said}) in an object that spans several lines; correct it there",
                    whole=True,
                ),
            )
            return
        after = _skip(text, end)
        if not several and after == len(text):
            yield from _only(text, at, cast("dict[str, Any]", value), file)
            return
        several = True
        try:
            check_single()
        except BrokenRow as fault:
            yield Row(line, None, fault)
        else:
            yield Row(line, value)
        at = after


def _only(text: str, at: int, value: dict[str, Any], file: str) -> Iterator[Row]:
    """The rows of a file that is one object: a table, a list of rows under some name, or the only row."""
    table = _by_columns(value)
    if uneven := _uneven(value):
        yield Row(1, None, BrokenRow("format", uneven, whole=True))
    elif table is not None:
        yield from (Row(number, row, unit="row") for number, row in enumerate(table, start=1))
    elif detect(value) is None or _holds_rows(value):
        yield from _unwrap(text, at, value, file)
    else:
        yield Row(1, value)
    try:
        check_single()
    except BrokenRow as fault:
        yield Row(1, None, BrokenRow(fault.rule, fault.message, whole=True))


def _unwrap(text: str, at: int, value: dict[str, Any], file: str) -> Iterator[Row]:
    """The rows in the only object of the file."""
    arrays = {
        name: cast("list[Any]", items)
        for name, items in value.items()
        if _is_rows(items) and not _is_chat(name, items)
    }
    if not arrays:
        deep = _deep_rows(value)
        if len(deep) > 1:
            first = next(iter(deep))
            raise DataError(
                f"{file} holds several lists of rows ({', '.join(deep)}); write each into a file of its own: jq -c "
                f"'.{first}[]' {file} > {first.rpartition('.')[2]}.jsonl"
            )
        rows = next(iter(deep.values()), None)
        if rows is None:
            yield from _named_rows(value)
        else:
            yield from (_inner(number, row)._replace(unit="row") for number, row in enumerate(rows, start=1))
        return
    name = next((name for name in _NAMES if name in arrays), next(iter(arrays)))
    others = [other for other in arrays if other != name and other not in ("features", "schema", "fields")]
    if others:
        raise DataError(
            f"{file} holds several lists of rows ({', '.join(arrays)}); write each into a file of its own: jq -c '.{name}[]' "
            f"{file} > {name}.jsonl"
        )
    lines = _item_lines(text, at, name)
    on_lines = len(set(lines)) == len(arrays[name])
    for number, item in enumerate(arrays[name], start=1):
        row = _inner(lines[number - 1] if on_lines else number, item)
        yield row if on_lines else row._replace(unit="row")


def _deep_rows(value: dict[str, Any], above: str = "") -> dict[str, list[dict[str, Any]]]:
    """Lists of rows of a known format in objects within the object, such as {"data": {"train": [...]}}, by their path."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, inner in value.items():
        if (
            above
            and _is_rows(inner)
            and (detect(inner[0]) is not None or isinstance(inner[0].get("row"), dict))
        ):
            found[f"{above}{name}"] = inner
        elif isinstance(inner, dict) and above.count(".") < _DEEPEST:
            found |= _deep_rows(cast("dict[str, Any]", inner), f"{above}{name}.")
    return found


def _named_rows(value: dict[str, Any]) -> Iterator[Row]:
    """The rows that an object holds by name, such as {"17": {"question": ..., "answer": ...}}; otherwise the object itself."""
    rows = list(value.values())
    objects = [cast("dict[str, Any]", row) for row in rows if isinstance(row, dict)]
    if len(objects) == len(rows) > 1 and all(detect(row) is not None for row in objects):
        yield from (Row(number, row, unit="row") for number, row in enumerate(rows, start=1))
    elif len(rows) > 1 and all(isinstance(row, str) for row in rows) and any(" " in name for name in value):
        yield Row(
            1,
            None,
            BrokenRow(
                "format",
                "the object maps questions to answers; write rows: jq -c 'to_entries[] | {prompt: .key, completion: .value}' "
                "OLD > NEW.jsonl",
                whole=True,
            ),
        )
    else:
        yield Row(1, value)


def _holds_rows(value: dict[str, Any]) -> bool:
    """Whether a list under a usual name for rows holds whole rows: `data` is such a name, and one of a chat's turns as well."""
    return any(_is_rows(value.get(name)) and detect(value[name][0]) is not None for name in _NAMES)


def _is_rows(items: Any) -> bool:
    rows = cast("list[Any]", items) if isinstance(items, list) else []
    return bool(rows) and all(isinstance(row, dict) for row in rows)


def _is_chat(name: str, items: list[dict[str, Any]]) -> bool:
    """Whether the list is the turns of one chat, so that the object is a row and not a file of rows."""
    return name not in _NAMES and all(keys_of(item) is not None and detect(item) is None for item in items)


def _inner(line: int, item: dict[str, Any]) -> Row:
    """The row in an item; the hub's dataset viewer wraps each in {"row_idx", "row", "truncated_cells"}."""
    if isinstance(item.get("row"), dict) and item.keys() <= {"row_idx", "row", "truncated_cells"}:
        cut = cast("list[Any]", item.get("truncated_cells") or [])
        if cut:
            return Row(
                line,
                None,
                BrokenRow(
                    "type",
                    f"the viewer's answer has cut off {', '.join(map(str, cut))}; download the file itself",
                ),
            )
        return Row(line, item["row"])
    return Row(line, item)


def _item_lines(text: str, at: int, name: str) -> list[int]:
    """The line of each item of the array under this name of the object that begins at `at`."""
    place = at + 1
    while True:
        place = _skip(text, place)
        if text[place] == ",":
            place = _skip(text, place + 1)
        key, place = DECODER.raw_decode(text, place)
        place = _skip(text, _skip(text, place) + 1)
        if key == name:
            break
        _, place = DECODER.raw_decode(text, place)
    lines: list[int] = []
    line, before, place = 1, 0, _skip(text, place + 1)
    while text[place] != "]":
        line += text.count("\n", before, place)
        lines.append(line)
        before = place
        _, place = DECODER.raw_decode(text, place)
        place = _skip(text, place)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return lines


def _by_columns(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of a table that stands by columns, as pandas' to_json writes it; None if it is not a table.

    Source: pandas.DataFrame.to_json, orient columns {name: {index: cell}}, split {columns, index, data}; to_dict of datasets.
    """
    columns, data = (
        cast("list[Any]", one) if isinstance(one, list) else [] for one in map(value.get, ("columns", "data"))
    )
    named = bool(columns) and all(isinstance(name, str | int) for name in columns)
    if named and data and all(isinstance(cells, list) for cells in data):
        names = [str(name) for name in columns]  # pandas numbers columns that have no names
        return [dict(zip(names, cells, strict=False)) for cells in data]
    cells = list(value.values())
    if not cells:
        return None
    if all(isinstance(cell, dict) for cell in cells):
        keys = list(cast("dict[str, Any]", cells[0]))
        if (
            keys
            and all(key.isdigit() for key in keys)
            and all(list(cast("dict[str, Any]", cell)) == keys for cell in cells)
        ):
            return [{name: value[name][key] for name in value} for key in keys]
    lists = [
        cast("list[Any]", cell) for cell in cells if isinstance(cell, list) and cell and not _is_rows(cell)
    ]
    if len(lists) == len(cells) > 1 and len({len(cell) for cell in lists}) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
    return None


def _uneven(value: dict[str, Any]) -> str | None:
    """What is wrong with columns of texts that are not equally long; None if the object is no such table."""
    sizes = {
        name: len(cast("list[Any]", cell))
        for name, cell in value.items()
        if isinstance(cell, list) and cell and isinstance(cell[0], str)
    }
    if len(sizes) != len(value) or len(set(sizes.values())) < 2:
        return None
    said = ", ".join(f"{name} has {size:,}" for name, size in sizes.items())
    return f"the columns are not equally long: {said}; write as many values in each"


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
