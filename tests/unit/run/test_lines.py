"""Files of JSON lines that grow while they are read."""

import json
from pathlib import Path

import pytest

from launcher.run import RunDir, append_line
from launcher.run.events import all_kinds
from launcher.run.lines import LineReader
from launcher.run.metrics import KINDS
from launcher.run.record import Record
from launcher.status.state import read_status


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


@pytest.mark.parametrize(
    "line",
    [
        '{"step": "two", "loss": 1.0}',
        '{"step": 2, "loss": "low"}',
        '{"step": 2, "loss": [1.0]}',
        '{"step": 2, "loss": true}',
        '{"step": 1' + "0" * 30 + ', "loss": 1.0}',
        '{"step": 2, "loss": 1.0, "total_steps": "9"}',
        '{"step": 2, "loss": 1.0, "time": "noon"}',
        '{"step": 2, "loss": 1.0, "time": 7}',
        '{"step": 2, "loss": 1.0, "time": null}',
        '{"step": 2, "eval_loss": {"a": 1}}',
        '{"step": 2, "eval_loss": 1.0, "loss": "low"}',
        '[{"step": 2, "loss": 1.0}]',
        '"text"',
        "17",
        "[" * 100_000,
        '{"step": 2, "lo',
        "\ufffd\x00",
    ],
    ids=lambda line: line[:40],
)
def test_a_line_of_another_type_is_left_out_and_counted(line: str, tmp_path: Path):
    run = RunDir(tmp_path)
    good = [{"step": step, "loss": 1.0, "time": f"2026-01-01T00:00:0{step}.000+00:00"} for step in (1, 3)]
    run.metrics.write_text(f"{json.dumps(good[0])}\n{line}\n{json.dumps(good[1])}\n")
    run.events.write_text(f"{line}\n")
    status = read_status(run)
    assert (status.step, status.loss) == (3, 1.0)
    assert status.warnings == [
        "events.jsonl: 1 line left out as torn or invalid; all others count",
        "metrics.jsonl: 1 line left out as torn or invalid; all others count",
    ]
    assert [found.step for found in run.read_metrics()] == [1, 3]


def test_the_torn_end_of_a_file_is_not_damage_yet(tmp_path: Path):
    run = RunDir(tmp_path)
    run.metrics.write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo')
    assert read_status(run).warnings == []


@pytest.mark.parametrize("kind", [*KINDS, *all_kinds()])
def test_every_field_of_a_line_has_a_check(kind: type[Record]):
    assert kind.find_wrong(dict.fromkeys(kind.FIELDS, object())) or kind.FIELDS.keys() <= {"more"}
    assert kind.find_wrong({}) is None
