"""Events: what is written of them, and what is read back from this and other versions."""

import json
import subprocess
import sys

import pytest

from launcher.run import RunDir, now, read_lines
from launcher.run.attempts import find_attempts
from launcher.run.describe import describe_events, describe_metrics, shared_fields
from launcher.run.events import VERSION, Event, EventReader, Other, all_kinds, parse
from launcher.run.events.base import How
from launcher.run.events.checkpoints import Saved
from launcher.run.events.supervisor import Ended, Started
from launcher.run.history import read_history
from launcher.run.metrics import Line

VALUES = (1, "text", {"a": 1}, [1], ["text"], [{"a": 1}])
"""A value of each type that a required field has."""


def test_an_event_is_read_back_as_it_was_written(tmp_path):
    run = RunDir(tmp_path)
    run.note(Saved(attempt=2, step=5, checkpoint="step_5", why="end", bytes=7, blocked_s=0.1, total_s=0.2))
    (event,) = run.read_events(Saved)
    assert event == Saved(
        attempt=2,
        time=event.time,
        step=5,
        checkpoint="step_5",
        why="end",
        bytes=7,
        blocked_s=0.1,
        total_s=0.2,
    )
    assert event.time


def test_each_line_says_its_version_and_leaves_out_what_does_not_apply(tmp_path):
    run = RunDir(tmp_path)
    run.note(Started(attempt=1, host="n1", job_id="7"))
    (line,) = read_lines(run.events)
    assert line.pop("time")
    assert line == {"event": "started", "attempt": 1, "job_id": "7", "host": "n1", "v": VERSION}


def test_a_line_of_a_version_before_the_schema_is_read():
    assert parse({"time": "t", "event": "started", "attempt": 1}) == Started(attempt=1, time="t")


def test_an_unknown_field_is_kept_and_an_unknown_kind_reads_as_such():
    newer = parse({"event": "saved", "attempt": 1, "step": 3, "tier": "local", "v": 9})
    assert isinstance(newer, Saved) and (newer.step, newer.more) == (3, {"tier": "local"})
    other = parse({"event": "teleported", "attempt": 1, "to": "mars", "v": 9})
    assert isinstance(other, Other) and (other.kind, other.more) == ("teleported", {"to": "mars"})


def test_a_line_without_what_its_kind_needs_is_none_of_it():
    assert parse({"event": "saved", "attempt": 1}) == Other(attempt=1, name="saved", more={})
    assert parse({"attempt": 1}) is None


def test_a_plugins_own_event_is_written_with_its_fields(tmp_path):
    run = RunDir(tmp_path)
    run.add_event("teleported", attempt=1, to="mars")
    (line,) = read_lines(run.events)
    assert (line["event"], line["to"]) == ("teleported", "mars")


def test_only_the_kinds_that_are_requested_are_read(tmp_path):
    run = RunDir(tmp_path)
    run.note(Started(attempt=1))
    run.note(Saved(attempt=1, step=5))
    assert [event.step for event in run.read_events(Saved)] == [5]
    reader = EventReader(run.events, Started)
    assert len(reader.read()) == 1 and reader.read() == []


def test_a_field_that_is_missing_or_unknown_is_an_error_where_it_is_written():
    with pytest.raises(TypeError, match=r"missing fields \['step'\]"):
        Saved(attempt=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"unknown fields \['stp'\]"):
        Saved(attempt=1, step=1, stp=2)  # type: ignore[call-arg]


def test_an_event_is_frozen():
    with pytest.raises(AttributeError):
        Started(attempt=1).attempt = 2  # type: ignore[misc]


def test_several_processes_append_without_mixing_lines(tmp_path):
    write = (
        "import sys; from pathlib import Path; from launcher.run import RunDir\n"
        "from launcher.run.events.checkpoints import Saved\n"
        "for step in range(200): RunDir(Path(sys.argv[1])).note(Saved(attempt=int(sys.argv[2]), step=step, why='x' * 500))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", write, str(tmp_path), str(at)]) for at in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    events = RunDir(tmp_path).read_events()
    assert len(events) == 800 and all(isinstance(event, Saved) for event in events)
    for attempt in range(4):
        assert [event.step for event in events if event.attempt == attempt] == list(range(200))


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.KIND)
def test_every_kind_has_a_name_of_its_own_and_is_found_by_it(kind: type[Event]):
    facts = {name: next(one for one in VALUES if not kind.find_wrong({name: one})) for name in kind.REQUIRED}
    assert type(parse({**facts, "event": kind.KIND, "attempt": 1})) is kind


@pytest.mark.parametrize("kind", [*describe_events(), *describe_metrics()], ids=lambda kind: kind.name)
def test_every_kind_and_field_says_what_it_means_and_who_writes_it(kind):
    assert kind.doc.endswith(".") and kind.writer.endswith(".")
    for field in kind.fields:
        assert field.doc, f"{kind.name}.{field.name}"


def test_the_shared_fields_are_described():
    assert [field.name for field in shared_fields(Event)] == ["attempt", "time", "more"]
    assert all(field.doc for field in shared_fields(Line))


def test_how_an_attempt_ended_is_written_in_words_that_stay():
    assert {how.value for how in How} >= {"crashed", "hung", "lost", "shut_down", "cut"}


@pytest.mark.parametrize(
    "damage",
    [{"time": None}, {"time": ""}, {"time": "yesterday"}, {"time": 5}, {"attempt": None}, {"attempt": []}],
)
def test_a_line_whose_time_or_attempt_cannot_be_read_is_left_out(tmp_path, damage):
    run = RunDir(tmp_path)
    run.note(Saved(attempt=1, step=5))
    line = json.loads(run.events.read_text())
    with run.events.open("a") as file:
        file.write(json.dumps({**line, **damage}) + "\n" + json.dumps({"event": "started"}) + "\n")
    assert [event.kind for event in run.read_events()] == ["saved"]


def test_a_shutdown_in_the_words_of_an_earlier_version_is_read_as_one(tmp_path):
    run = RunDir(tmp_path)
    run.note(Started(attempt=1))
    line = {"time": "2026-01-01T00:00:00.000+00:00", "event": "ended", "attempt": 1, "how": "left"}
    with run.events.open("a") as file:
        file.write(json.dumps(line) + "\n")
    (event,) = run.read_events(Ended)
    assert event.how == How.SHUT_DOWN.value
    assert [one.how for one in find_attempts(read_history(run), now())] == [How.SHUT_DOWN.value]
