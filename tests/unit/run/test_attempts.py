"""The one derivation: attempts, what ended each, what stayed, and what the run has come to."""

import pytest

from launcher.run.attempts import UNKNOWN, find_attempts
from launcher.run.totals import Standing, effective_training_time, ended_by, error, faults, standing
from tests.support.events import history_of
from tests.support.reports import at

NOW = at(1000)


def event(seconds: float, kind: str, attempt: int = 1, **facts: object) -> dict[str, object]:
    return {"time": at(seconds), "event": kind, "attempt": attempt, **facts}


def steps(*logged: tuple[float, int]) -> list[dict[str, object]]:
    return [{"time": at(seconds), "step": step, "loss": 1.0} for seconds, step in logged]


def test_an_attempt_that_runs_has_not_ended_and_lost_nothing():
    (one,) = find_attempts(history_of([event(0, "started")], steps((10, 1), (20, 2))), NOW)
    assert (one.how, one.reason, one.lost_steps, one.to_step, one.ended) == (None, None, 0, 2, 1000)


def test_steps_after_the_checkpoint_that_the_next_attempt_loads_are_lost():
    events = [
        event(0, "started"), event(15, "saved", step=2), event(40, "ended", how="crashed", reason="x", hosts=["n2"]),
        event(50, "started", 2), event(55, "resumed", 2, step=2),
    ]  # fmt: skip
    first, second = find_attempts(history_of(events, steps((10, 1), (20, 2), (30, 3), (60, 3))), NOW)
    assert (first.how, first.hosts, first.lost_steps, first.to_step) == ("crashed", ("n2",), 1, 3)
    assert (first.trained, first.kept, first.ended) == (10, 20, 40)
    assert (second.resumed_from, second.from_step, second.lost_steps) == (2, 2, 0)


def test_a_cancel_does_not_hide_how_the_ranks_ended():
    events = [
        event(0, "started"),
        event(10, "cancelled", job_id="7"),
        event(30, "ended", how="shut_down", reason="cancelled"),
    ]
    (one,) = find_attempts(history_of(events), NOW)
    assert (one.how, one.ended) == ("shut_down", 30)


@pytest.mark.parametrize(
    ("end", "how", "reason"),
    [
        (event(30, "requeued", reason="n1 is lost"), "requeued", "n1 is lost"),
        (event(30, "stopped", exit_code=3, reason="no"), "stopped", "no"),
        (event(30, "finished"), "finished", None),
        (event(30, "pruned"), "pruned", None),
        (event(30, "cancelled"), "cancelled", None),
    ],
)
def test_without_the_ranks_end_the_runs_end_tells_it(end, how, reason):
    (one,) = find_attempts(history_of([event(0, "started"), end]), NOW)
    assert (one.how, one.reason) == (how, reason)


def test_an_attempt_that_another_one_followed_without_a_word_has_ended():
    first, second = find_attempts(history_of([event(0, "started"), event(90, "started", 2)]), NOW)
    assert (first.how, first.ended) == (UNKNOWN, 90)
    assert second.how is None


def test_a_run_that_continues_after_a_stop_is_counted_until_now():
    stopped = [event(0, "started"), event(100, "stopped", reason="x")]
    lines = steps((10, 1), (20, 2), (30, 3))
    assert effective_training_time(history_of(stopped, lines), NOW) == pytest.approx(30 / 100)
    again = [*stopped, event(500, "started", 2)]
    assert effective_training_time(history_of(again, lines), NOW) == pytest.approx(30 / 1000)


@pytest.mark.parametrize(
    ("kinds", "found", "over"),
    [
        ([], Standing.PLANNED, False),
        (["planned", "submitted"], Standing.SUBMITTED, False),
        (["submitted", "started"], Standing.RUNNING, False),
        (["started", "requeued"], Standing.REQUEUED, False),
        (["started", "finished", "cancelled"], Standing.FINISHED, True),
        (["started", "cancelled", "stopped"], Standing.CANCELLED, True),
        (["started", "stopped", "replanned"], Standing.STOPPED, False),
        (["started", "stopped", "submitted"], Standing.RUNNING, False),  # its job is asked next
        (["started", "pruned"], Standing.PRUNED, True),
    ],
)
def test_the_events_tell_where_a_run_is_and_whether_it_is_over(kinds, found, over):
    history = history_of([event(at_, kind, job_id="7") for at_, kind in enumerate(kinds)])
    assert standing(history) is found
    assert (ended_by(history) is not None) is over


def test_the_first_ranks_error_of_the_last_attempt_is_the_error():
    events = [
        event(0, "crashed", host="n1", rank=0, error="of the first"), event(1, "stopped", reason="x"),
        event(2, "crashed", 2, host="n2", rank=3, error="the cause"), event(3, "stopped", 2, reason="y"),
    ]  # fmt: skip
    assert error(history_of(events)) == "rank 3 on n2: the cause"
    assert error(history_of(events[:2] + events[3:])) == "y"
    assert error(history_of([])) is None


def test_a_checkpoint_clears_what_stood_against_a_run():
    crashed = event(1, "ended", how="crashed", hosts=["n1"])
    found = faults(
        history_of(
            [
                crashed,
                event(2, "saved", step=3),
                crashed,
                event(3, "slow", host="n2", relative=0.5, confirmed=True),
            ]
        )
    )
    assert (found.without_progress, found.blamed, found.slow) == (1, {"n1": 2}, {"n2": 1})
