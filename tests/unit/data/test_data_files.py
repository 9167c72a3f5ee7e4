"""Reading data files: every row with its physical line, whatever the file is kept as."""

import csv
import json
import os
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launcher.data.array import read_array
from launcher.data.counting import Counting
from launcher.data.files import read_rows
from launcher.data.portion import Sizes
from launcher.data.row import Row
from launcher.data.survey import survey
from launcher.errors import DataError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.lists(st.dictionaries(st.sampled_from(["a", "b"]), TEXT, min_size=1), min_size=1, max_size=6)
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def rows(path: Path) -> list[tuple[int, object]]:
    return shown(read_rows(path))


def shown(found: Iterable[Row]) -> list[tuple[int, object]]:
    return [(row.line, row.fault.rule if row.fault else row.value) for row in found]


@SAME_FOLDER
@given(VALUES, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.integers(0, 3))
def test_jsonl_is_read_with_any_line_end_mark_and_blank_lines(
    tmp_path, values, mark: bool, end: str, blank: int
):
    lines = [json.dumps(value, ensure_ascii=False) for value in values]
    text = "\ufeff" * mark + end.join(lines) + end * blank
    (tmp_path / "rows.jsonl").write_bytes(text.encode())
    assert rows(tmp_path / "rows.jsonl") == list(enumerate(values, start=1))


@SAME_FOLDER
@given(VALUES, st.sampled_from([None, 0, 2]))
def test_an_array_is_read_item_by_item(tmp_path, values, indent: int | None):
    (tmp_path / "rows.json").write_text(json.dumps(values, indent=indent, ensure_ascii=False), newline="")
    assert [value for _, value in rows(tmp_path / "rows.json")] == values


@SAME_FOLDER
@given(VALUES, st.integers(1, 60))
def test_an_array_is_read_alike_when_it_comes_in_small_pieces(tmp_path, values, block: int):
    (tmp_path / "rows.json").write_text(json.dumps(values, indent=1, ensure_ascii=False), newline="")
    whole = rows(tmp_path / "rows.json")
    with (tmp_path / "rows.json").open("rb") as file:
        assert shown(read_array(file, block)) == whole


def test_an_items_line_is_the_physical_one(tmp_path):
    (tmp_path / "rows.json").write_text('\n[\n\n  {"a": 1},\n {"a": 2},  {"a":\n 3}\n]\n\n')
    assert rows(tmp_path / "rows.json") == [(4, {"a": 1}), (5, {"a": 2}), (5, {"a": 3})]


ITEMS = [{"text": "one"}, {"text": "two"}, {"text": "three"}]


@pytest.mark.parametrize(
    "value", [ITEMS, {"data": ITEMS}, {"text": ["one", "two", "three"], "id": [1, 2, 3]}]
)
def test_rows_that_share_a_line_have_the_numbers_of_rows(tmp_path: Path, value: Any):
    (tmp_path / "rows.json").write_text(json.dumps(value))
    found = [(row.line, row.unit) for row in read_rows(tmp_path / "rows.json")]
    assert found == [(1, "row"), (2, "row"), (3, "row")]


def test_chats_under_the_name_data_are_the_rows_and_not_the_turns_of_one(tmp_path: Path):
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "id": 1}
    (tmp_path / "rows.json").write_text(json.dumps({"data": [chat, chat]}))
    assert [row.value for row in read_rows(tmp_path / "rows.json")] == [chat, chat]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"a": 1},\n{"a" 2}]', 2),
        ('[\n{"a": 1},\n{bad}\n]', 3),
        ('[{"a": 1},\n\n', 3),
        ('[{"a": 1}\n{"a": 2}]', 2),
        ("[]\nx", 1),
        ('[{"a": 1}]\n\nx', 1),
        ("[,]", 1),
        ('[{"a": 1},]', 1),
        ("[", 1),
    ],
)
def test_a_broken_array_is_one_fault_with_its_line(tmp_path, text: str, line: int):
    (tmp_path / "rows.json").write_text(text)
    assert [found for found in rows(tmp_path / "rows.json") if found[1] == "not_json"] == [(line, "not_json")]


@pytest.mark.parametrize(
    "before", [b"[", b'[{"a": "' + b"x" * (2 << 20) + b'"},\n', b"[]" + b" " * (2 << 20)]
)
def test_an_array_that_is_not_utf8_is_one_fault(tmp_path, before: bytes):
    (tmp_path / "rows.json").write_bytes(before + b'{"a": "\xff"}]')
    assert [rule for _, rule in rows(tmp_path / "rows.json") if isinstance(rule, str)] == ["not_utf8"]


@pytest.mark.parametrize("raw", [b"{", b"{'a': 1}", b'{"a": 1} x', b"nul", b"\x00"])
def test_a_broken_line_is_a_fault_and_the_rest_is_read(tmp_path, raw: bytes):
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": 1}\n' + raw + b'\n{"a": 2}\n')
    assert rows(tmp_path / "rows.jsonl") == [(1, {"a": 1}), (2, "not_json"), (3, {"a": 2})]


def test_a_line_that_is_not_utf8_is_a_fault_and_the_rest_is_read(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": 1}\n{"a": "\xff"}\n{"a": 2}\n')
    assert rows(tmp_path / "rows.jsonl") == [(1, {"a": 1}), (2, "not_utf8"), (3, {"a": 2})]


def test_a_line_of_eight_megabytes_is_read(tmp_path):
    value = {"a": "x" * (8 << 20)}
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(value)}\n{json.dumps({'a': 'y'})}\n")
    assert rows(tmp_path / "rows.jsonl") == [(1, value), (2, {"a": "y"})]


@SAME_FOLDER
@given(
    st.lists(st.tuples(TEXT.filter(bool), TEXT.filter(bool)), min_size=1, max_size=5), st.sampled_from(",;\t")
)
def test_csv_cells_come_back_as_they_were(tmp_path, cells, delimiter: str):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("input", "output"), *cells])
    assert [value for _, value in rows(path)] == [{"input": one, "output": two} for one, two in cells]


def test_a_records_line_is_where_it_begins(tmp_path):
    (tmp_path / "rows.csv").write_text('input,output\n"a\nb",c\nd,e\n')
    assert rows(tmp_path / "rows.csv") == [
        (2, {"input": "a\nb", "output": "c"}),
        (4, {"input": "d", "output": "e"}),
    ]


def test_csv_that_is_not_utf8_and_a_record_that_is_too_long_are_faults(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"input,output\na,\xff\na,b,c\na,b\n")
    assert rows(tmp_path / "rows.csv") == [(2, "not_utf8"), (3, "format"), (4, {"input": "a", "output": "b"})]


def test_a_csv_header_that_is_not_utf8_is_the_one_fault(tmp_path):
    (tmp_path / "rows.csv").write_bytes("input,output,catégorie\na,b,c\nd,e,f\n".encode("cp1252"))
    assert rows(tmp_path / "rows.csv") == [(1, "not_utf8")]


def test_a_line_of_plain_text_is_a_row(tmp_path):
    (tmp_path / "rows.txt").write_text("one\r\n\ntwo\n", newline="")
    assert rows(tmp_path / "rows.txt") == [(1, {"text": "one"}), (3, {"text": "two"})]


def test_parquet_is_read_without_the_keys_that_a_row_lacks(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = [
        {"messages": [{"role": "user", "content": "x", "name": "Ann"}]},
        {"messages": [{"role": "user", "content": "y"}]},
    ]
    parquet.write_table(arrow.Table.from_pylist(values), tmp_path / "rows.parquet")
    assert rows(tmp_path / "rows.parquet") == list(enumerate(values, start=1))


def test_an_invalid_parquet_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="is not a Parquet file"):
        rows(tmp_path / "rows.parquet")


@pytest.mark.parametrize("lengths", [[1, 300, 2, 50, 50], [200], [10] * 40, [64, 63, 65, 1]])
@pytest.mark.parametrize("last", ["", "\n"])
def test_ranges_of_bytes_give_every_line_once_and_by_its_number(tmp_path, lengths: list[int], last: str):
    lines = [string.ascii_letters[index % 50] * length for index, length in enumerate(lengths)]
    path = tmp_path / "rows.txt"
    path.write_text("\ufeff" + "\n".join(lines) + last)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "sched_getaffinity", lambda _: {0})  # in this process
        found = survey(path, Counting(), None, divided=Sizes(small=0, block=64)).part
    assert list(found.lines) == list(range(1, len(lines) + 1))
    assert found.characters == sum(lengths)
