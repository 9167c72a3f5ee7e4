"""Values for a tracker that a thread writes: what it could not write is told."""

import threading
from types import SimpleNamespace
from typing import Any

from launcher.trackers.base import TrackingStart
from launcher.train.tracking import Background


class Stuck:
    """A tracker that waits for `go` before it starts, or before it writes a step."""

    started = TrackingStart(mode="online")

    def __init__(self, *, starts: bool) -> None:
        self.starts, self.go, self.written = starts, threading.Event(), threading.Event()

    def open(self) -> "Stuck":
        if not self.starts:
            self.go.wait()
        return self

    def write(self, step: int, values: Any, time_s: float) -> None:
        if step > 1:
            self.go.wait()
        self.written.set()

    def finish(self) -> None:
        pass


def told_of(tracker: Stuck) -> list[TrackingStart]:
    told: list[TrackingStart] = []
    background = Background(tracker.open, told.append)
    for step in (1, 2, 3):
        background.on_log(None, SimpleNamespace(global_step=step), None, logs={"loss": 1.0})
    if tracker.starts:
        assert tracker.written.wait(10)
    background.finish(0.2)
    found = list(told)
    tracker.go.set()
    return found


def test_a_tracker_that_never_starts_is_told_at_the_end_with_the_steps_that_are_missing():
    (told,) = told_of(Stuck(starts=False))
    assert (told.mode, told.why) == (
        "failed", "3 of 3 logged steps were not written: the tracker did not start within 0.2 s",
    )  # fmt: skip


def test_a_tracker_that_stops_writing_is_told_with_the_number_of_steps_that_it_lost():
    started, told = told_of(Stuck(starts=True))
    assert started.mode == "online"
    assert told.why == "2 of 3 logged steps were not written: the tracker did not finish within 0.2 s"
