"""The course of a long training: metrics.jsonl is parsed only where a value is needed.

To parse a million lines takes 20 s of CPU. The newest lines, those at the ends of attempts and the evaluations take a fraction
of a second; all other bytes are only searched for evaluations and torn lines.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

from launcher.run.course import AVERAGED, RECENT, Stretch, mean, median, seconds
from launcher.run.events.base import VERSION
from launcher.run.line_search import LineFile
from launcher.run.metrics import Line, parse_metrics

LARGE = 16 << 20
"""From this size in bytes on, a metrics.jsonl is read in this way: about 50,000 lines, which take a second to parse."""
_PIECE = 1 << 20
"""Bytes that are searched at once."""
_SAMPLED = 250
"""Places in the file, evenly spread, at which the time of a step is taken."""
_GROWN = 1.01
"""Factor by which the file grows before the next sample."""
_EVALUATION = b'"eval_loss"'
_LINE_END = f'"v": {VERSION}}}\n'.encode()
"""How this version ends a line."""


class LongCourse:
    """The same values as Course, with two differences.

    The median time of a step is that of 250 places, evenly spread over the file; and a damaged line counts only if it is
    torn. Times are taken to ascend over the file; a line without a time does not count.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = LineFile(path)
        self._size = 0
        """End of the newest complete line that was searched."""
        self._sampled = 0
        """Size at the newest sample."""
        self._evaluations: dict[int, int] = {}
        """Step -> offset of its newest evaluation."""
        self.eval_losses: dict[int, float] = {}
        self.evaluated: Line | None = None
        self.last: Line | None = None
        self.last_timed: Line | None = None
        self.wait_shares: deque[float] = deque(maxlen=RECENT)
        self.step_s: float | None = None
        self.places = 0
        """Places of the file from which the median time of a step was taken."""
        self.lines = 0
        """All complete lines."""
        self.damaged = 0
        """Torn lines."""
        self._search()

    def grow(self) -> bool:
        """Takes what was appended since the last call; False, without effect, if the file was truncated or replaced."""
        file = LineFile(self._path)
        if file.inode != self._file.inode or file.size < self._size:
            return False
        self._file = file
        self._search()
        return True

    def _search(self) -> None:
        """Finds evaluations and torn lines in the new bytes, then parses the newest lines."""
        at, size = self._size, self._file.size
        count = _PIECE
        while at < size and (piece := self._file.read(at, min(count, size - at))):
            end = piece.rfind(b"\n") + 1
            if end == 0 and at + len(piece) < size:
                count *= 2  # one line is longer
                continue
            self._search_in(piece, end, at)
            at, count = at + end, _PIECE
            if end == 0:
                break
        self._size = at
        self._take_newest()

    def _search_in(self, text: bytes, upto: int, offset: int) -> None:
        """Searches `text`, which begins at `offset` of the file and has complete lines up to `upto`."""
        lines = text.count(b"\n", 0, upto)
        self.lines += lines
        if text.count(_LINE_END, 0, upto) < lines:  # a long pattern is found faster
            blank = text.count(b"\n\n", 0, upto) + text.startswith(b"\n", 0, upto)
            self.damaged += lines - text.count(b"}\n", 0, upto) - blank
        found = text.find(_EVALUATION, 0, upto)
        while found >= 0:
            start, end = text.rfind(b"\n", 0, found) + 1, text.index(b"\n", found)
            line = _parse(text[start:end])
            loss = line.get("eval_loss") if line else None
            if line is not None and loss is not None:
                self.evaluated, self.eval_losses[line.step] = line, float(loss)
                self._evaluations[line.step] = offset + start
            found = text.find(_EVALUATION, end, upto)

    def _take_newest(self) -> None:
        newest = [line for _, line in islice(self._before(self._size), RECENT)]
        self.last = newest[0] if newest else None
        self.last_timed = self.last
        shares = (line.get("generation_wait_share") for line in reversed(newest))
        self.wait_shares = deque((one for one in shares if isinstance(one, float)), RECENT)
        if self._size > self._sampled * _GROWN:
            self._sampled, self.step_s = self._size, self._median_step_s()

    def _median_step_s(self) -> float | None:
        found: list[float] = []
        for number in range(_SAMPLED):
            pair = [line for _, line in islice(self._after(self._size * number // _SAMPLED), 2)]
            if len(pair) == 2 and pair[1].step > pair[0].step:
                took = seconds(pair[1].time) - seconds(pair[0].time)
                found.append(took / (pair[1].step - pair[0].step))
        self.places = len(found)
        return median(sorted(found))

    def sample(self, count: int) -> list[Line]:
        """Lines for a chart, in the order of the file: `count` training lines at evenly spread places, the newest one, the
        lines of other kinds before each of them, and at most `count` evaluations, evenly chosen."""
        found: dict[int, Line] = {}
        for number in range(count):
            for offset, text in self._file.forward(self._size * number // count, self._size):
                line = _parse(text)
                if line is not None:
                    found[offset] = line
                    if _counts(line):
                        break
        found |= dict(islice(self._before(self._size), 1))
        offsets = sorted(self._evaluations.values())
        for number in range(min(count, len(offsets))):
            offset = offsets[number * len(offsets) // min(count, len(offsets))]
            text = next(self._file.forward(offset, self._size), (0, b""))[1]
            if (line := _parse(text)) is not None:
                found[offset] = line
        return [line for _, line in sorted(found.items(), key=lambda one: one[0])]

    def mean_losses(self, step: int) -> tuple[float | None, float | None]:
        """As in Course."""
        upto = self._evaluations.get(step, 0)
        before = [line.get("loss") for _, line in islice(self._before(upto), AVERAGED)]
        after: list[float] = []
        for offset, line in islice(self._before(self._size), AVERAGED):
            if offset < upto:
                break
            after.append(line.get("loss"))
        return mean(before), mean(after)

    def logged(self, begin: float, end: float) -> Stretch | None:
        """As in Course."""
        first_at = self._file.first(
            0, self._size, lambda text: _reached(text, lambda moment: moment >= begin)
        )
        end_at = self._file.first(0, self._size, lambda text: _reached(text, lambda moment: moment > end))
        first = next(self._after(first_at), None)
        last = next(self._before(end_at), None)
        if first is None or last is None or last[0] < first[0]:
            return None
        return Stretch(
            began=seconds(first[1].time),
            from_step=first[1].step,
            to_step=last[1].step,
            time_of=lambda step: self._time_of(step, first[0], end_at),
        )

    def _time_of(self, step: int, begin: int, end: int) -> float | None:
        for offset, line in self._before(end):  # from the end: a rollback repeats steps within an attempt
            if offset < begin:
                break
            if line.step <= step:
                return seconds(line.time)
        return None

    def last_sign(self, before: float | None = None) -> float | None:
        """As in Course."""
        end = self._size
        if before is not None:
            end = self._file.first(
                0, end, lambda text: _reached(text, lambda moment: moment >= before, any_kind=True)
            )
        lines = (_parse(text) for _, text in self._file.backward(end))
        return next((seconds(line.time) for line in lines if line and line.time), None)

    def _after(self, at: int) -> Iterator[tuple[int, Line]]:
        """(offset, line) of training lines that begin there or later."""
        return _training(self._file.forward(at, self._size))

    def _before(self, end: int) -> Iterator[tuple[int, Line]]:
        """(offset, line) of training lines before the line at `end`, the newest first."""
        return _training(self._file.backward(end))


def _training(lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, Line]]:
    for offset, text in lines:
        line = _parse(text)
        if line is not None and _counts(line):
            yield offset, line


def _counts(line: Line) -> bool:
    return line.get("loss") is not None and bool(line.time)


def _reached(text: bytes, test: Callable[[float], bool], *, any_kind: bool = False) -> bool | None:
    line = _parse(text)
    if line is None or not line.time or not (any_kind or _counts(line)):
        return None
    return test(seconds(line.time))


def _parse(text: bytes) -> Line | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parse_metrics(cast("dict[str, Any]", value)) if isinstance(value, dict) else None
