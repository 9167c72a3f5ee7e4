"""The course of a training so far, updated with each new line of metrics.jsonl: nothing is computed from the start again."""

import bisect
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from launcher.run.metrics import Line, Scored

RECENT = 20
"""Newest lines of which a median is taken."""
AVERAGED = 1000
"""Newest lines, at most, over which a mean loss is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The training lines of a stretch of time."""

    began: float
    """When the first of them was written; seconds since 1970."""
    from_step: int
    """Its step."""
    to_step: int
    """The step of the last one."""
    time_of: Callable[[int], float | None]
    """Step -> when the newest line up to that step was written; None if all of them are of later steps."""


class Course:
    """The summary of all metrics lines. A step that was repeated after a restart counts with its newest line."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.last: Line | None = None
        """The newest line with a training loss."""
        self.last_timed: Line | None = None
        """The newest such line that has a time."""
        self.evaluated: Line | None = None
        """The newest line with an evaluation loss."""
        self.eval_losses: dict[int, float] = {}
        """Step -> evaluation loss."""
        self.wait_shares: deque[float] = deque(maxlen=RECENT)
        """Shares of the time that the ranks waited for a generation server, in the newest lines."""
        self._signs = array("d")
        self._times, self._steps = array("d"), array("q")
        self._loss_steps, self._losses = array("q"), array("d")
        self._step_s = _Median()
        for line in lines:
            self.add(line)

    def add(self, line: Line) -> None:
        """Takes the next line of the file."""
        if isinstance(line, Scored):
            return  # it says nothing of where the training is now
        moment = seconds(line.time) if line.time else None
        if moment is not None:
            _append_ascending(self._signs, moment)
        loss, evaluated = line.get("loss"), line.get("eval_loss")
        if loss is not None:
            self._loss_steps.append(line.step)
            self._losses.append(float(loss))
            if isinstance(share := line.get("generation_wait_share"), float):
                self.wait_shares.append(share)
            if moment is not None:
                self._add_step(line, moment)
            self.last = line
        if evaluated is not None:
            self.eval_losses[line.step] = float(evaluated)
            self.evaluated = line

    def _add_step(self, line: Line, moment: float) -> None:
        earlier = self.last_timed
        if earlier is not None and line.step > earlier.step:
            self._step_s.add((moment - seconds(earlier.time)) / (line.step - earlier.step))
        self.last_timed = line
        _append_ascending(self._times, moment)
        self._steps.append(line.step)

    def losses(self) -> Iterator[tuple[int, float]]:
        """(step, training loss) in ascending order of the steps."""
        steps, losses = self._loss_steps, self._losses
        repeated = any(step >= after for step, after in pairwise(steps))  # after a restart
        if repeated:
            return iter(sorted(dict(zip(steps, losses, strict=True)).items()))
        return zip(steps, losses, strict=True)

    @property
    def step_s(self) -> float | None:
        """Median seconds of a step; None before there are two."""
        return self._step_s.value

    def mean_losses(self, step: int) -> tuple[float | None, float | None]:
        """Mean training loss of the newest lines up to a step, and of the newest after it; None without lines.

        The newest: a quarter of all lines, at most AVERAGED.
        """
        losses = list(self.losses())
        count = min(AVERAGED, max(1, len(losses) // 4))
        place = bisect.bisect_right(losses, step, key=lambda one: one[0])
        before, after = losses[:place][-count:], losses[place:][-count:]
        return mean([loss for _, loss in before]), mean([loss for _, loss in after])

    def logged(self, begin: float, end: float) -> Stretch | None:
        """The training lines in that stretch of time, both ends included, in seconds since 1970; None if there is none."""
        first, last = bisect.bisect_left(self._times, begin), bisect.bisect_right(self._times, end)
        if first >= last:
            return None

        def time_of(step: int) -> float | None:  # from the end: a rollback repeats steps within an attempt
            found = (at for at in range(last - 1, first - 1, -1) if self._steps[at] <= step)
            return next((self._times[at] for at in found), None)

        return Stretch(
            began=self._times[first],
            from_step=self._steps[first],
            to_step=self._steps[last - 1],
            time_of=time_of,
        )

    def last_sign(self, before: float | None = None) -> float | None:
        """When the newest line of any kind was written, of those before that time; None if there is none."""
        count = len(self._signs) if before is None else bisect.bisect_left(self._signs, before)
        return self._signs[count - 1] if count else None


class _Median:
    """The median of values that are added over time."""

    def __init__(self) -> None:
        self._sorted: list[float] = []
        self._new: list[float] = []

    def add(self, value: float) -> None:
        self._new.append(value)

    @property
    def value(self) -> float | None:
        """None before there is a value."""
        if len(self._new) < _FEW:
            for value in self._new:
                bisect.insort(self._sorted, value)
        else:
            self._sorted = sorted(self._sorted + self._new)
        self._new.clear()
        return median(self._sorted)


_FEW = 100
"""Up to so many new values, it is faster to insert each than to sort all."""


def median(ascending: Sequence[float]) -> float | None:
    """The median of sorted values; None without values."""
    count = len(ascending)
    return (ascending[(count - 1) // 2] + ascending[count // 2]) / 2 if count else None


def mean(values: Sequence[float]) -> float | None:
    """The mean; None without values."""
    return sum(values) / len(values) if values else None


def seconds(time: str) -> float:
    """Seconds since 1970 of an ISO 8601 time."""
    return datetime.fromisoformat(time).timestamp()


def _append_ascending(times: "array[float]", moment: float) -> None:
    """Appends a time, or the previous one if another host's clock is behind, so that the array stays sorted."""
    times.append(max(moment, times[-1]) if times else moment)
