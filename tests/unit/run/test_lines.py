"""Files of JSON lines that grow while they are read."""

import json
from pathlib import Path

import pytest

from launcher.run import append_line
from launcher.run.lines import LineReader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines.jsonl"


def test_a_look_returns_only_what_is_new(path):
    reader = LineReader(path)
    assert reader.read() == []
    append_line(path, {"a": 1})
    append_line(path, {"a": 2})
    assert reader.read() == [{"a": 1}, {"a": 2}]
    assert reader.read() == []
    append_line(path, {"a": 3})
    assert (reader.read(), reader.restarted) == ([{"a": 3}], False)


def test_a_torn_last_line_is_read_once_it_is_whole(path):
    reader = LineReader(path)
    whole = json.dumps({"error": "ä" * 50}, ensure_ascii=False).encode()
    with path.open("ab") as file:
        file.write(whole[:17])  # in the middle of a character
        file.flush()
        assert reader.read() == []
        file.write(whole[17:] + b"\n")
    assert reader.read() == [{"error": "ä" * 50}]


def test_a_torn_line_that_stays_torn_is_left_out(path):
    reader = LineReader(path)
    path.write_text('{"a": 1}\n{"a": ')
    assert reader.read() == [{"a": 1}]
    append_line(path, {"a": 2})  # on a new line
    assert reader.read() == [{"a": 2}]


def test_a_whole_object_without_a_line_end_is_read_once(path):
    reader = LineReader(path)
    path.write_text('{"a": 1}')
    assert reader.read() == [{"a": 1}]
    append_line(path, {"a": 2})
    assert (reader.read(), reader.restarted) == ([{"a": 2}], False)


def test_a_truncated_file_is_read_from_its_start(path):
    reader = LineReader(path)
    path.write_text('{"a": 1}\n{"a": 2}\n')
    reader.read()
    path.write_text('{"a": 3}\n')
    assert (reader.read(), reader.restarted) == ([{"a": 3}], True)


def test_a_file_that_was_truncated_and_has_grown_past_the_offset_is_read_from_its_start(path):
    reader = LineReader(path)
    path.write_text('{"a": 1}\n')
    reader.read()
    path.write_text('{"b": 1}\n{"b": 2}\n')
    assert (reader.read(), reader.restarted) == ([{"b": 1}, {"b": 2}], True)


def test_another_file_of_the_name_is_read_from_its_start(path):
    reader = LineReader(path)
    path.write_text('{"a": 1}\n')
    reader.read()
    other = path.with_name("other")
    other.write_text('{"a": 1}\n{"a": 2}\n')
    other.replace(path)
    assert (reader.read(), reader.restarted) == ([{"a": 1}, {"a": 2}], True)


def test_short_lines_in_many_looks_do_not_look_like_another_file(path):
    reader = LineReader(path)
    for _ in range(50):
        with path.open("a") as file:
            file.write('{"a":1}\n' * 7 + "\n")
        assert (len(reader.read()), reader.restarted) == (7, False)


def test_a_line_that_is_longer_than_a_piece_is_read_whole(path):
    append_line(path, {"text": "x" * (3 << 20)})
    append_line(path, {"a": 1})
    first, second = LineReader(path).read()
    assert (len(first["text"]), second) == (3 << 20, {"a": 1})
