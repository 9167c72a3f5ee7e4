"""Makes curves of metrics.jsonl: the final line of every step, thinned to the points that can be distinguished."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from launcher.run.metrics import TASKS
from launcher.units import significant

Points = list[tuple[float, float]]

_POINTS = 1600
"""Most points of one curve: more than the pixels of a chart's width."""
_SMOOTH_FROM = 40
"""Minimum number of points for a smoothed curve."""
_ROWS = 40
"""Most rows of the table next to a chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCurves:
    """The logged lines of a run, without those of lost steps."""

    training: Sequence[Mapping[str, Any]]
    evaluation: Sequence[Mapping[str, Any]]
    measured: Sequence[Mapping[str, Any]]
    """Separate lines that plugins and evaluations on tasks have written."""
    repeated: int
    """Logged steps that were repeated after a restart."""


def stayed(metrics: Iterable[Mapping[str, Any]]) -> LoggedCurves:
    """The lines by step. A restart repeats the steps after its checkpoint; their earlier lines are dropped."""
    training: list[Mapping[str, Any]] = []
    evaluation: list[Mapping[str, Any]] = []
    measured: list[Mapping[str, Any]] = []
    scored: dict[int, Mapping[str, Any]] = {}
    repeated = 0
    for line in metrics:
        step = line.get("step")
        if not isinstance(step, int):
            continue
        if any(key.startswith(TASKS) for key in line):  # later than lines of higher steps, which stay
            scored[step] = line
            continue
        if any(key.startswith("eval_") for key in line):
            while evaluation and evaluation[-1]["step"] >= step:
                evaluation.pop()
            evaluation.append(line)
        elif "loss" in line:
            while training and training[-1]["step"] >= step:
                training.pop()
                repeated += 1
            while evaluation and evaluation[-1]["step"] >= step:
                evaluation.pop()
            while measured and measured[-1]["step"] > step:
                measured.pop()
            training.append(line)
        else:  # a plugin's line for a step can precede that step's own line
            same: list[Mapping[str, Any]] = []
            while measured and measured[-1]["step"] >= step:
                same.append(measured.pop())
            measured += [one for one in reversed(same) if one["step"] == step and one.keys() != line.keys()]
            measured.append(line)
    measured += [scored[step] for step in sorted(scored)]
    return LoggedCurves(training=training, evaluation=evaluation, measured=measured, repeated=repeated)


def points(lines: Iterable[Mapping[str, Any]], key: str, x: str = "step") -> Points:
    """(x, value) of the lines that have a finite number under `key`."""
    return [
        (float(line[x]), float(line[key]))
        for line in lines
        if is_number(line.get(key)) and is_number(line.get(x))
    ]


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def thin(curve: Points, most: int = _POINTS) -> Points:
    """At most `most` points: the first, lowest, highest and last of each segment, so that no spike is lost.

    Source: Jugel et al., M4: A Visualization-Oriented Time Series Data Aggregation, VLDB 2014.
    """
    if len(curve) <= most:
        return curve
    stretches = max(1, most // 4)
    size = len(curve) / stretches
    kept: set[int] = set()
    for number in range(stretches):
        indices = range(round(number * size), round((number + 1) * size))
        kept |= {indices[0], indices[-1]}
        kept |= {min(indices, key=lambda at: curve[at][1]), max(indices, key=lambda at: curve[at][1])}
    return [curve[at] for at in sorted(kept)]


def smooth(curve: Points) -> Points | None:
    """The curve's moving average; None if it has too few points.

    It is exponential, over about a twentieth of the curve, and has the bias correction of Adam's moments.
    """
    if len(curve) < _SMOOTH_FROM:
        return None
    keep = 1 - 1 / max(5.0, len(curve) / 20)
    mean, weight, found = 0.0, 0.0, Points()
    for x, y in curve:
        mean, weight = keep * mean + (1 - keep) * y, keep * weight + (1 - keep)
        found.append((x, mean / weight))
    return found


def sample_rows(rows: Sequence[Sequence[Any]], most: int = _ROWS) -> tuple[list[Sequence[Any]], str]:
    """Evenly chosen rows for a table, with the first and the last, and a note if some are left out."""
    if len(rows) <= most:
        return list(rows), ""
    chosen = sorted({round(number * (len(rows) - 1) / (most - 1)) for number in range(most)})
    return [rows[at] for at in chosen], f"{len(chosen)} of {len(rows):,} rows, evenly chosen"


def short(value: float) -> float:
    """The value with five significant digits, which is enough for a chart."""
    return significant(value, 5)


def as_points(curve: Points) -> list[list[float]]:
    """A thinned curve as JSON values."""
    return [[short(x) if x % 1 else int(x), short(y)] for x, y in thin(curve)]
