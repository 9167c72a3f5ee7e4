"""A long metrics.jsonl, which is parsed only where a value is needed, says the same as one that is parsed as a whole."""

import itertools
import json
import random
from datetime import datetime, timedelta, timezone

import pytest

from launcher.run import RunDir
from launcher.run.course import Course, seconds
from launcher.run.events.supervisor import Started
from launcher.run.history import HistoryReader, read_history
from launcher.run.line_search import LineFile
from launcher.run.long_course import LARGE, LongCourse
from launcher.run.metrics import Evaluation, Line, Logged, Measure

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def at(moment: float) -> str:
    return (BEGIN + timedelta(seconds=moment)).isoformat(timespec="milliseconds")


def append(run: RunDir, lines: list[Line]) -> None:
    with run.metrics.open("a") as file:
        file.writelines(json.dumps(line.line()) + "\n" for line in lines)


def lines_of(random_: random.Random, count: int, *, goes_back: float = 0.005) -> list[Line]:
    """Training lines with evaluations and measures; now and then the run goes back by some steps."""
    lines: list[Line] = []
    step, moment = 0, 0.0
    for _ in range(count):
        step, moment = step + 1, moment + 2 + random_.random() / 10
        lines.append(Logged(time=at(moment), step=step, loss=4 - step / count, total_steps=count))
        if step % 50 == 0:
            lines.append(Evaluation(time=at(moment + 0.5), step=step, eval_loss=2 + step / count))
        if step % 70 == 0:
            lines.append(Measure(time=at(moment + 0.6), step=step, more={"norm": 1.0}))
        if random_.random() < goes_back:
            step, moment = max(0, step - random_.randint(1, 40)), moment + 30
    return lines


@pytest.mark.parametrize("seed", range(3))
def test_every_value_is_that_of_the_whole_file(tmp_path, seed):
    random_ = random.Random(seed)
    run, lines = RunDir(tmp_path), lines_of(random_, 3000)
    append(run, lines)
    whole, long = Course(lines), LongCourse(run.metrics)
    assert (long.last, long.last_timed, long.evaluated) == (whole.last, whole.last_timed, whole.evaluated)
    assert long.eval_losses == whole.eval_losses
    assert long.step_s == pytest.approx(whole.step_s, rel=0.01)
    assert long.damaged == 0
    times = [seconds(line.time) for line in lines]
    for _ in range(30):
        begin, end = sorted(random_.choice(times) + random_.choice((-0.3, 0, 0.3)) for _ in range(2))
        one, other = long.logged(begin, end), whole.logged(begin, end)
        assert (one is None) == (other is None)
        if one and other:
            assert (one.began, one.from_step, one.to_step) == (other.began, other.from_step, other.to_step)
            for step in (0, other.from_step, other.to_step - 7, other.to_step):
                assert one.time_of(step) == other.time_of(step)
        assert long.last_sign(begin) == whole.last_sign(begin)
    assert long.last_sign() == whole.last_sign()
    assert long.last_sign(times[0]) is None


def test_losses_before_and_after_the_best_evaluation_are_the_same(tmp_path):
    run, lines = RunDir(tmp_path), lines_of(random.Random(1), 9000, goes_back=0)
    append(run, lines)
    whole, long = Course(lines), LongCourse(run.metrics)
    for step in list(whole.eval_losses)[25:-25:40]:
        assert long.mean_losses(step) == pytest.approx(whole.mean_losses(step))


def test_a_sample_is_spread_over_the_file_and_has_the_newest_line_and_the_evaluations(tmp_path):
    run, lines = RunDir(tmp_path), lines_of(random.Random(3), 3000, goes_back=0)
    append(run, lines)
    long = LongCourse(run.metrics)
    assert long.lines == len(lines)
    found = long.sample(100)
    places = [lines.index(line) for line in found]
    assert places == sorted(set(places))
    trained = [place for place in places if isinstance(lines[place], Logged)]
    assert 100 <= len(trained) <= 101
    assert max(later - earlier for earlier, later in itertools.pairwise(trained)) < 2 * len(lines) / 100
    assert found[-1] == lines[-1]
    evaluations = [line for line in lines if isinstance(line, Evaluation)]
    assert [line for line in found if isinstance(line, Evaluation)] == evaluations


def test_a_file_that_grows_is_taken_up_and_a_replaced_one_is_told(tmp_path):
    run, lines = RunDir(tmp_path), lines_of(random.Random(2), 1500)
    append(run, lines[:1000])
    long = LongCourse(run.metrics)
    with run.metrics.open("a") as file:
        file.write('{"step": 7, "loss"')
    assert long.grow()
    assert (long.last, long.damaged) == (Course(lines[:1000]).last, 0)
    run.log(lines[1000])
    append(run, lines[1001:])
    assert long.grow()
    whole = Course(lines)
    assert (long.last, long.eval_losses, long.damaged) == (whole.last, whole.eval_losses, 1)
    run.metrics.write_text('{"step": 1, "loss": 1.0}\n')
    assert not long.grow()


def test_a_reader_parses_a_small_file_as_a_whole_and_a_large_one_where_it_is_needed(tmp_path):
    run = RunDir(tmp_path)
    run.note(Started(attempt=1))
    run.log(Logged(time=at(1), step=1, loss=1.0))
    reader = HistoryReader(run, whole=False)
    assert isinstance(reader.read().course, Course)
    line = run.metrics.read_text()
    run.metrics.write_text(line * (LARGE // len(line) + 1))
    assert isinstance(HistoryReader(run).read().course, Course)
    reader = HistoryReader(run, whole=False)
    assert isinstance(reader.read().course, LongCourse)
    assert isinstance(reader.read().course, LongCourse)
    run.metrics.write_text(line)
    assert isinstance(reader.read().course, Course)
    assert reader.read().course.last == read_history(run).course.last


@pytest.mark.parametrize("length", [0, 1, 3, 16, 17])
def test_lines_are_found_forwards_and_backwards(tmp_path, length):
    path = tmp_path / "lines"
    lines = [b"x" * (length * 1000 + number) for number in range(40)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    file = LineFile(path)
    forward = list(file.forward(0, file.size))
    assert [line for _, line in forward] == lines
    assert list(file.backward(file.size)) == forward[::-1]
    for offset, _ in forward:
        assert next(file.forward(offset, file.size))[0] == offset
        assert next(file.forward(max(0, offset - 1), file.size))[0] in (offset, offset - 1)
