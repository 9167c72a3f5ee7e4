"""An incrementally updated history equals one that is read completely."""

from datetime import datetime, timedelta, timezone

import pytest

from launcher.run import RunDir
from launcher.run.course import Course, seconds
from launcher.run.events.checkpoints import Saved
from launcher.run.events.supervisor import Started
from launcher.run.history import HistoryReader, read_history
from launcher.run.metrics import Evaluation, Logged, Measure, parse_metrics

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def at(moment: float) -> str:
    return (BEGIN + timedelta(seconds=moment)).isoformat(timespec="milliseconds")


def logged(step: int, moment: float, loss: float = 1.0) -> Logged:
    return Logged(time=at(moment), step=step, loss=loss, total_steps=100)


def test_a_kept_history_is_the_same_as_one_that_is_read_whole(tmp_path):
    run = RunDir(tmp_path)
    reader = HistoryReader(run)
    for step in range(1, 40):
        run.note(Saved(attempt=1, step=step))
        run.log(logged(step, step * 1.5 + step % 3, loss=3 - step / 20))
        if step % 10 == 0:
            run.log(Evaluation(time=at(step), step=step, eval_loss=2.0))
        kept, whole = reader.read(), read_history(run)
        assert kept.events == whole.events
        assert kept.course.step_s == whole.course.step_s
        assert isinstance(kept.course, Course)
        assert isinstance(whole.course, Course)
        assert [*kept.course.losses()] == [*whole.course.losses()]
        assert kept.course.eval_losses == whole.course.eval_losses
        assert kept.course.last_sign() == whole.course.last_sign()


def test_a_history_begins_again_where_a_file_was_replaced(tmp_path):
    run = RunDir(tmp_path)
    reader = HistoryReader(run)
    run.note(Started(attempt=1))
    run.log(logged(1, 1))
    reader.read()
    for path in (run.events, run.metrics):
        path.unlink()
    run.note(Saved(attempt=1, step=7))
    run.log(logged(9, 9))
    history = reader.read()
    assert [event.kind for event in history.events] == ["saved"]
    assert isinstance(history.course, Course)
    assert [step for step, _ in history.course.losses()] == [9]


def test_the_median_step_leaves_out_restarts():
    course = Course([logged(1, 0), logged(2, 2), logged(3, 5), logged(2, 100), logged(3, 104)])
    assert course.step_s == pytest.approx(3)  # 2, 3 and 4; from step 3 back to step 2 is no step
    assert Course([logged(1, 0)]).step_s is None


def test_lines_are_found_by_their_time_also_where_a_clock_is_behind():
    course = Course([logged(1, 10), logged(2, 20), logged(3, 15), logged(4, 30)])
    begin = seconds(at(0))
    found = course.logged(begin + 20, begin + 30)
    assert found is not None
    assert (found.from_step, found.to_step, found.began - begin) == (2, 4, 20)
    assert [found.time_of(step) for step in (1, 2, 3)] == [None, begin + 20, begin + 20]
    assert course.logged(begin + 31, begin + 40) is None


def test_lines_of_metrics_are_read_by_what_they_hold():
    assert isinstance(parse_metrics({"step": 1, "loss": 1.0, "rewards/margins": 2.0}), Logged)
    assert isinstance(parse_metrics({"step": 1, "eval_loss": 1.0}), Evaluation)
    line = parse_metrics({"step": 1, "adapter_norm": 1.0, "v": 1})
    assert line == Measure(step=1, more={"adapter_norm": 1.0})
    assert line is not None
    assert (line.get("adapter_norm"), line.get("loss")) == (1.0, None)


def test_a_line_of_metrics_is_read_back_as_it_was_written(tmp_path):
    run, line = RunDir(tmp_path), logged(3, 4, loss=0.5)
    run.log(line)
    assert run.read_metrics() == [line]
