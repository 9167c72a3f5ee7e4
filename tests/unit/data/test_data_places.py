"""Data files as users have them: several, compressed, wrapped, at an address; and files that are not data."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.data.check import CheckOptions, check
from launcher.data.examples import read_examples
from launcher.data.files import read_rows
from launcher.data.reading import make_reading
from launcher.errors import DataError

ROWS = [{"question": f"Which bird hoots {number} times?", "answer": f"Owl {number}."} for number in range(4)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
INDENTED = "\n".join(json.dumps(row, indent=2) for row in ROWS).encode()
BY_COLUMN = {key: {str(at): row[key] for at, row in enumerate(ROWS)} for key in ROWS[0]}
AS_LISTS = {key: [row[key] for row in ROWS] for key in ROWS[0]}
VIEWER = {
    "features": [{"name": "question"}],
    "rows": [{"row_idx": at, "row": row, "truncated_cells": []} for at, row in enumerate(ROWS)],
}
KEPT = {
    "gzip": ("rows.jsonl.gz", gzip.compress(LINES)),
    "gzip under another name": ("rows.jsonl", gzip.compress(LINES)),
    "bzip2": ("rows.jsonl.bz2", bz2.compress(LINES)),
    "xz": ("rows.jsonl.xz", lzma.compress(LINES)),
    "gzipped CSV": (
        "rows.csv.gz",
        gzip.compress(
            b"question,answer\n" + b"".join(f"{row['question']},{row['answer']}\n".encode() for row in ROWS)
        ),
    ),
    "under data": ("rows.json", json.dumps({"version": "1", "data": ROWS}, indent=1).encode()),
    "under train, on one line": ("rows.json", json.dumps({"train": ROWS}).encode()),
    "the viewer's answer": ("rows.json", json.dumps(VIEWER).encode()),
    "pandas, by columns": ("rows.json", json.dumps(BY_COLUMN).encode()),
    "pandas, split": (
        "rows.json",
        json.dumps(
            {"columns": list(ROWS[0]), "index": [0, 1, 2, 3], "data": [list(row.values()) for row in ROWS]}
        ).encode(),
    ),
    "lists by column": ("rows.json", json.dumps(AS_LISTS, indent=1).encode()),
    "one after the other": ("rows.json", INDENTED),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_file_that_is_stored_in_another_way_has_the_same_rows(tmp_path: Path, name: str):
    file, content = KEPT[name]
    (tmp_path / file).write_bytes(content)
    assert [row.value for row in read_rows(tmp_path / file)] == ROWS


def test_zstandard_and_arrow_files_are_read(tmp_path: Path):
    arrow = pytest.importorskip("pyarrow")
    with arrow.CompressedOutputStream(str(tmp_path / "rows.jsonl.zst"), "zstd") as file:
        file.write(LINES)
    table = arrow.Table.from_pylist(ROWS)
    with (
        arrow.OSFile(str(tmp_path / "rows.arrow"), "wb") as file,
        arrow.ipc.new_stream(file, table.schema) as writer,
    ):
        writer.write_table(table)
    for name in ("rows.jsonl.zst", "rows.arrow"):
        assert [row.value for row in read_rows(tmp_path / name)] == ROWS


OTHERS = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n",
    "a zip archive": b"PK\x03\x04rest",
    "a web page": b"<!DOCTYPE html>\n<html>",
    "UTF-16": "question,answer\nx,y\n".encode("utf-16"),
    "UTF-16LE": '{"question": "x"}\n'.encode("utf-16-le"),
    "damaged": b"\0" * 5000,
    "a pickle": b"\x80\x04\x95\x00",
    "is it complete": gzip.compress(LINES * 200)[:-9],
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_file_that_is_not_data_is_refused_with_what_it_is(tmp_path: Path, what: str):
    (tmp_path / "rows.jsonl").write_bytes(OTHERS[what])
    with pytest.raises(DataError, match=what):
        list(read_rows(tmp_path / "rows.jsonl"))


FAULTS = {
    "pretty-printed and broken": (INDENTED.replace(b'",\n', b'"\n', 1), ["not_json"]),
    "a list per line": (b'[{"role": "user", "content": "x"}]\n' * 2, ["not_object"] * 2),
    "a key twice": (b'{"question": "x", "answer": "y", "answer": "z"}\n' + LINES, ["duplicate_key"]),
    "a key twice in an array": (b'[{"text": "x", "text": "y"},\n {"text": "z"}]', ["duplicate_key"]),
    "NaN that would be trained on": (b'{"prompt": "x", "answer": NaN}\n', ["not_json"]),
    "a NUL character": (b'{"text": "x\\u0000"}\n{"text": "y"}\n', ["nul_bytes"]),
    "a line of NUL bytes": (LINES + b"\0" * 4000, ["not_json"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_once_for_each_cause(tmp_path: Path, name: str):
    content, rules = FAULTS[name]
    (tmp_path / "rows.jsonl").write_bytes(content)
    report = check(CheckOptions(path=tmp_path / "rows.jsonl"))
    assert [finding.rule for finding in report.findings if finding.level == "error"] == rules


CSV = {
    'question,answer\n"x",y\n"a,b\nc,d\ne,f\n': "line 3: .* is not closed: all of it to the end of the file",
    "question,answer,answer\na,b,c\n": "two columns have the name 'answer'",
    'question,answer\na,"'
    + "".join(f"q{n},a{n}\n" for n in range(40))
    + '"\n': "lines that look like records",
}


@pytest.mark.parametrize(("text", "said"), CSV.items())
def test_a_csv_file_whose_rows_would_be_lost_is_refused_even_if_rows_may_be_left_out(
    tmp_path, text: str, said: str
):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        list(read_examples(tmp_path / "rows.csv", make_reading(skip=True, max_bad_share=0.9)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of rows, the second with an invalid one."""
    for name in "ab":
        rows = [
            {"question": f"Which bird hoots {name} {number}?", "answer": f"The owl {number}."}
            for number in range(30)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (tmp_path / "b.jsonl").open("a") as file:
        file.write('{"question": "x", "answer": ""}\n')
    (tmp_path / "dataset_info.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("what", ["", "*.jsonl"])
def test_a_folder_and_a_glob_are_read_as_one_set_and_a_fault_has_its_file(folder: Path, what: str):
    report = check(CheckOptions(path=f"{folder}/{what}"))
    assert (report.part.rows, report.files) == (61, 2)
    (error,) = (finding for finding in report.findings if finding.level == "error")
    assert (error.file, error.line, error.rule) == (str(folder / "b.jsonl"), 31, "empty")
    with pytest.raises(DataError, match=r"b\.jsonl, line 31"):
        list(read_examples(f"{folder}/{what}"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("x.csv", "several kinds .*glob"), ("nothing/", "not a file"), ("no*.jsonl", "matches no file")],
)
def test_an_invalid_place_is_refused(folder: Path, name: str, said: str):
    if name == "x.csv":
        (folder / name).write_text("question,answer\n")
        name = ""
    with pytest.raises(DataError, match=said):
        list(read_rows(f"{folder}/{name}"))


def test_rows_at_an_address_are_read_and_checked(folder: Path):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.pipe("/rows/a.jsonl.gz", gzip.compress(LINES))
    store.pipe("/rows/b.jsonl", LINES)
    for place in ("memory://rows/a.jsonl.gz", "memory://rows/b*.jsonl"):
        assert [row.value for row in read_rows(place)] == ROWS
    assert check(CheckOptions(path="memory://rows")).part.rows == 8


@pytest.mark.parametrize(
    ("place", "said"),
    [("nosuch://bucket/rows.jsonl", "fsspec knows no nosuch://"), ("memory://none.jsonl", "is not a file")],
)
def test_an_address_that_cannot_be_read_is_refused_in_one_line(place: str, said: str):
    pytest.importorskip("fsspec")
    with pytest.raises(DataError, match=said):
        list(read_rows(place))


def test_invalid_rows_are_left_out_counted_and_listed(folder: Path):
    report = check(CheckOptions(path=folder, reading=make_reading(skip=True, max_bad_share=0.02)))
    (finding,) = (one for one in report.findings if one.rule == "left_out")
    assert (report.errors, finding.line, len(report.part.lines)) == (0, 31, 60)
    left_out: list[str] = []
    assert len(list(read_examples(folder, make_reading(skip=True, max_bad_share=0.02), left_out))) == 60
    assert len(left_out) == 1


def test_a_column_that_is_named_and_in_no_row_is_reported(folder: Path):
    report = check(CheckOptions(path=folder / "a.jsonl", reading=make_reading(drop=["vews"])))
    assert "data.drop=[vews], but no row has the column vews" in [
        finding.message for finding in report.findings
    ]
    wrong = check(CheckOptions(path=folder / "a.jsonl", reading=make_reading(columns={"system": "vews"})))
    assert "no row has the column vews" in wrong.findings[0].message and wrong.errors == 1


def test_too_many_invalid_rows_are_refused_by_the_check_and_by_the_ranks(folder: Path):
    report = check(CheckOptions(path=folder, reading=make_reading(skip=True)))
    assert report.findings[0].rule == "too_many_bad" and "data.max_bad_share" in report.findings[0].message
    with pytest.raises(DataError, match="1 of 61 rows"):
        list(read_examples(folder, make_reading(skip=True)))


def test_a_conversion_leaves_invalid_rows_out_and_says_so(folder: Path, tmp_path: Path, capsys):
    asked = ["data", "convert", str(folder / "*.jsonl"), str(tmp_path / "out.csv"), "--to", "messages"]
    assert main(asked) == 1
    assert main([*asked, "--on-bad-row", "skip", "--max-bad-share", "0.02", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["invalid_left_out"] == 1


def test_a_null_argument_comes_back_through_parquet(tmp_path: Path):
    pytest.importorskip("pyarrow")
    calls = [{"type": "function", "function": {"name": "tide", "arguments": {"port": "Oslo", "hour": None}}}]
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": calls}]
    row = {"messages": turns, "tools": [{"type": "function", "function": {"name": "tide", "default": None}}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    for source, target in (("rows.jsonl", "rows.parquet"), ("rows.parquet", "back.jsonl")):
        assert (
            main(["data", "convert", str(tmp_path / source), str(tmp_path / target), "--to", "messages"]) == 0
        )
    assert json.loads((tmp_path / "back.jsonl").read_text()) == row


def test_null_arguments_that_a_table_does_not_tell_from_absent_ones_are_counted(tmp_path: Path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    calls = [[{"function": {"name": "f", "arguments": arguments}}] for arguments in ({"a": 1}, {"b": 2})]
    rows = [
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": call}]}
        for call in calls
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    report = check(CheckOptions(path=tmp_path / "rows.parquet"))
    assert report.part.lost_nulls == 2 and "lost_nulls" in [finding.rule for finding in report.findings]
