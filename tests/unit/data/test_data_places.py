"""Data files as users have them: several, compressed, wrapped, at an address; and files that are not data."""

import bz2
import gzip
import json
import lzma
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.data.check import CheckOptions, check
from launcher.data.examples import read_examples
from launcher.data.files import read_rows
from launcher.data.findings import BrokenRow
from launcher.data.read import read_row
from launcher.data.reading import make_reading
from launcher.errors import ConfigError, DataError

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
    "in objects within the object": (
        "rows.json",
        json.dumps({"version": 1, "data": {"train": ROWS}}).encode(),
    ),
    "far down, with the viewer's keys": (
        "rows.json",
        json.dumps({"result": {"page": {"rows": VIEWER["rows"], "next": None}}}, indent=1).encode(),
    ),
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
    "an Excel file; save its sheet as CSV": b"PK\x03\x04....xl/workbook.xml",
    "a Word document; save it as plain text": b"PK\x03\x04....word/document.xml",
    "a LibreOffice document": b"PK\x03\x04....mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
    "an older Excel or Word": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
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


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("Wie geht es – „gut“, für 5 €?", "cp1252", "probably Windows-1252.*iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"),
        ("Où est l'été ?", "latin-1", "probably Windows-1252"),
        ("Как дела?", "cp1251", r"not UTF-8; convert the file: iconv -f ENCODING"),
        ("お元気ですか", "shift-jis", r"not UTF-8; convert the file: iconv -f ENCODING"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.json"])
def test_a_text_in_another_encoding_is_one_cause_with_the_command_that_converts_it(
    tmp_path: Path, text: str, encoding: str, said: str, name: str
):
    rows = [{"question": f"{number} {text}", "answer": text} for number in range(3)]
    form = {
        "rows.csv": "question,answer\n" + "".join(f'"{row["question"]}","{row["answer"]}"\n' for row in rows),
        "rows.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        "rows.json": json.dumps(rows, ensure_ascii=False),
    }
    (tmp_path / name).write_bytes(form[name].encode(encoding))
    errors = [one for one in check(CheckOptions(path=tmp_path / name)).findings if one.level == "error"]
    assert {one.rule for one in errors} == {"not_utf8"} and len({one.message for one in errors}) == 1
    assert re.search(
        said if name != "rows.json" else said.replace("not UTF-8", "").lstrip(";"), errors[0].message
    )


@pytest.mark.parametrize(
    ("place", "meant"),
    [
        ("me/rows", "or hub:me/rows for a data set of the hub"),
        ("https://huggingface.co/datasets/me/rows", "write hub:me/rows"),
        ("https://huggingface.co/datasets/me/rows/viewer/default/train", "write hub:me/rows"),
    ],
)
def test_a_data_set_of_a_hub_is_named_as_this_launcher_reads_it(place: str, meant: str):
    with pytest.raises(DataError, match=meant):
        read_examples(place).__next__()


PAIR = {"question": "Wie heißt das?", "answer": "Größe"}


def mixed(encodings: Sequence[str]) -> bytes:
    """Rows of JSONL, each in its own encoding."""
    return b"".join(json.dumps(PAIR, ensure_ascii=False).encode(one) + b"\n" for one in encodings)


@pytest.mark.parametrize("size", [1, 6000])
def test_a_file_in_two_encodings_gets_a_command_that_keeps_its_valid_lines(tmp_path: Path, size: int):
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_bytes(mixed([*["utf-8"] * 3 * size, "cp1252", "utf-8", "cp1252"]))
    findings = [one for one in check(CheckOptions(path=old)).findings if one.rule == "not_utf8"]
    assert [one.line for one in findings] == [3 * size + 1, 3 * size + 3]
    (message,) = {one.message for one in findings}
    assert f"lines with such bytes: 2 ({3 * size + 1:,}, {3 * size + 3:,})" in message
    assert f"which iconv would destroy: {3 * size + 1:,}" in message
    command = (
        message.partition("convert those bytes alone: ")[2].replace("OLD", str(old)).replace("NEW", str(new))
    )
    subprocess.run(["bash", "-c", command], check=True)
    assert new.read_bytes() == mixed(["utf-8"] * (3 * size + 3))


def test_rows_that_are_skipped_say_how_the_file_is_converted_too(tmp_path: Path):
    old = tmp_path / "old.jsonl"
    old.write_bytes(mixed([*["utf-8"] * 9000, "cp1252"]))
    reading = make_reading(skip=True)
    (left_out,) = [
        one for one in check(CheckOptions(path=old, reading=reading)).findings if one.rule == "left_out"
    ]
    assert "convert those bytes alone: perl" in left_out.message


def test_a_text_in_two_encodings_that_are_not_known_names_neither(tmp_path: Path):
    old = tmp_path / "old.jsonl"
    old.write_bytes(
        mixed(["utf-8"])
        + json.dumps({"question": "Как?", "answer": "Да"}, ensure_ascii=False).encode("cp1251")
    )
    (finding,) = [one for one in check(CheckOptions(path=old)).findings if one.rule == "not_utf8"]
    assert "Windows" not in finding.message and 'from_to($w, "ENCODING", "UTF-8")' in finding.message


def test_what_the_columns_may_mean_is_said_for_two_texts_and_for_a_missing_header():
    with pytest.raises(
        BrokenRow, match=r"if antwort answers frage: data\.columns=\{prompt: frage, completion: antwort\}"
    ):
        read_row({"frage": "Wer?", "antwort": "Ich."}, make_reading())
    with pytest.raises(
        BrokenRow, match="the first line is read as the names of the columns, but it looks like a row"
    ):
        read_row({"Who is it?": "Where?", "It is me.": "Here."}, make_reading())


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (1, "1 of 100 rows are invalid; data.on_bad_row=skip trains"),
        (4, "4 of 100 rows are invalid; data.on_bad_row=skip data.max_bad_share=0.05 trains"),
        (20, None),
    ],
)
def test_a_few_broken_rows_are_told_with_the_keys_that_leave_them_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: int, said: str | None
):
    rows = [json.dumps({"prompt": f"p{number}", "completion": "c"}) for number in range(100)]
    text = "\n".join(row[:-2] if number < bad else row for number, row in enumerate(rows))
    (tmp_path / "rows.jsonl").write_text(text)
    assert main(["data", "check", str(tmp_path / "rows.jsonl")]) == 1
    out = capsys.readouterr().out
    assert said in out if said else "are invalid; " not in out
    if said:
        words = [word.partition("=")[2] for word in said.split() if "=" in word]
        options = ["--on-bad-row", words[0], *(["--max-bad-share", words[1]] if len(words) > 1 else [])]
        assert main(["data", "check", str(tmp_path / "rows.jsonl"), *options]) == 0


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_row_of_a_table_without_its_answer_is_broken_and_no_prompt_among_chats(tmp_path: Path, name: str):
    rows = [{"p": f"question {n}", "c": f"answer {n}" if n % 40 else None, "s": None} for n in range(80)]
    if name == "rows.csv":
        text = "".join(f"{row['p']},{row['c'] or ''},\n" for row in rows)
        (tmp_path / name).write_text(f"p,c,s\n{text}")
    else:
        arrow = pytest.importorskip("pyarrow")
        schema = arrow.schema([(key, arrow.string()) for key in rows[0]])
        pytest.importorskip("pyarrow.parquet").write_table(
            arrow.Table.from_pylist(rows, schema), tmp_path / name
        )
    columns = {"prompt": "p", "completion": "c", "system": "s"}
    (error, again) = check(
        CheckOptions(path=tmp_path / name, reading=make_reading(columns=columns))
    ).findings[:2]
    assert "no completion" in error.message and again.message == error.message
    reading = make_reading(columns=columns, skip=True, max_bad_share=0.05)
    report = check(CheckOptions(path=tmp_path / name, reading=reading))
    assert (report.errors, len(report.part.lines), report.part.counts["left_out"]) == (0, 78, 2)
    assert len(list(read_examples(tmp_path / name, reading))) == 78


def test_rows_of_a_table_in_two_formats_of_one_kind_are_both_read(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("prompt,completion,instruction,output\na,b,,\n,,c,d\n")
    turns = [example["messages"] for _, example in read_examples(tmp_path / "rows.csv")]
    assert [[turn["content"] for turn in one] for one in turns] == [["a", "b"], ["c", "d"]]


def test_rounds_of_two_texts_are_a_chat():
    found = read_row({"messages": [["Why?", "So."], ["Really?", "Yes."]]}, make_reading()).example["messages"]
    assert [(turn["role"], turn["content"]) for turn in found] == [
        ("user", "Why?"), ("assistant", "So."), ("user", "Really?"), ("assistant", "Yes."),
    ]  # fmt: skip


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
    report = check(CheckOptions(path=folder / "a.jsonl", reading=make_reading(drop=["vews", "hsh"])))
    assert "data.drop=[vews,hsh], but no row has the columns vews, hsh" in [
        finding.message for finding in report.findings
    ]
    wrong = check(CheckOptions(path=folder / "a.jsonl", reading=make_reading(columns={"system": "vews"})))
    assert "no row has the column vews" in wrong.findings[0].message and wrong.errors == 1
    with pytest.raises(ConfigError, match=r"data\.drop=\[a,b\] is also in data\.keep or data\.columns"):
        make_reading(drop=["b", "a", "c"], keep=["a", "b"])
    with pytest.raises(
        BrokenRow, match=r"\{prompt: q, completion: a\}, but the row has no q and no a; its keys"
    ):
        read_row({"x": "y"}, make_reading(columns={"prompt": "q", "completion": "a"}))


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


def test_a_csv_that_quotes_with_apostrophes_gets_the_command_that_changes_them(tmp_path: Path):
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("'question','answer'\n'Where, and when?','Here, \"now\"'\n")
    with pytest.raises(DataError) as refusal:
        list(read_examples(old))
    command = str(refusal.value).partition('with "; ')[2].partition(" changes them")[0]
    subprocess.run(["bash", "-c", command.replace("OLD", str(old)).replace("NEW", str(new))], check=True)
    ((_, example),) = read_examples(new)
    assert [turn["content"] for turn in example["messages"]] == ["Where, and when?", 'Here, "now"']


def test_rows_of_no_format_deep_within_an_object_are_named_with_the_command_that_takes_them_out(
    tmp_path: Path,
):
    rows = [{"frage": row["question"], "antwort": row["answer"]} for row in ROWS]
    (tmp_path / "rows.json").write_text(json.dumps({"dataset": {"train": rows}}))
    with pytest.raises(
        DataError, match=r"dataset\.train holds rows of its own: jq -c '\.dataset\.train\[\]' OLD > NEW"
    ):
        list(read_examples(tmp_path / "rows.json"))


def test_a_conversion_tells_what_it_does_not_read_and_refuses_columns_that_no_row_has(tmp_path: Path, capsys):
    source, target = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    source.write_text("question,answer,views\nWho?,Me.,7\n")

    def convert(*more: str) -> tuple[int, str]:
        code = main(["data", "convert", str(source), str(target), *more])
        return code, capsys.readouterr().err

    code, told = convert("--columns", "prompt=quest,completion=answer")
    assert code == 1 and "data.columns={prompt: quest}, but no row has the column quest" in told
    assert not target.exists()
    code, told = convert("--drop", "clicks")
    assert code == 0 and "keys that are not read, with their number of rows: views (1)" in told
    assert "data.drop=[clicks], but no row has the column clicks" in told
    assert convert("--drop", "views", "--force") == (0, "")


def test_lists_of_rows_in_several_objects_are_refused_with_the_command_that_parts_them(tmp_path: Path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"data": {"train": ROWS, "test": ROWS[:2]}}))
    with pytest.raises(DataError, match=r"data\.train, data\.test.*jq -c '\.data\.train\[\]'"):
        list(read_rows(file))


def test_a_list_of_rows_on_a_line_is_told_from_a_list_of_turns(tmp_path: Path):
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    file = tmp_path / "rows.jsonl"
    for lists, said in (([[{"messages": turns}]] * 2, "flatten"), ([turns] * 2, '"messages": ')):
        file.write_text("".join(f"{json.dumps(one)}\n" for one in lists))
        assert said in check(CheckOptions(path=str(file))).findings[-1].message
