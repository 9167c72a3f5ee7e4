"""metrics.jsonl -> curves: of every step the line that stayed, in as many points as an eye can tell apart."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from launcher.units import significant

Points = list[tuple[float, float]]

_POINTS = 1600
"""Of one curve: more than a chart has pixels across."""
_SMOOTH_FROM = 40
"""Points from which a smoothed curve says more than the raw one."""
_ROWS = 40
"""Of the table beside a chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a run logged, without the work that was lost."""

    training: Sequence[Mapping[str, Any]]
    evaluation: Sequence[Mapping[str, Any]]
    measured: Sequence[Mapping[str, Any]]
    """Lines of their own, by plugins."""
    repeated: int
    """Logged steps that were done again after a restart."""


def stayed(metrics: Iterable[Mapping[str, Any]]) -> Record:
    """Lines by step. After a restart the steps from its checkpoint on come again: what was logged of them before is dropped."""
    training: list[Mapping[str, Any]] = []
    evaluation: list[Mapping[str, Any]] = []
    measured: list[Mapping[str, Any]] = []
    repeated = 0
    for line in metrics:
        step = line.get("step")
        if not isinstance(step, int):
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
        else:  # a plugin's line of a step may stand before that step's own
            same: list[Mapping[str, Any]] = []
            while measured and measured[-1]["step"] >= step:
                same.append(measured.pop())
            measured += [one for one in reversed(same) if one["step"] == step and one.keys() != line.keys()]
            measured.append(line)
    return Record(training=training, evaluation=evaluation, measured=measured, repeated=repeated)


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
    """At most `most` points: of each stretch the first, lowest, highest and last, so that no spike is lost.

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
    """The curve's moving average; None where it has too few points for one.

    Exponential, over about a twentieth of the curve, and corrected for its beginning as Adam's moments are.
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
    """Rows for a table, evenly chosen with the first and the last, and a note where there are more."""
    if len(rows) <= most:
        return list(rows), ""
    chosen = sorted({round(number * (len(rows) - 1) / (most - 1)) for number in range(most)})
    return [rows[at] for at in chosen], f"{len(chosen)} of {len(rows):,} rows, evenly chosen"


def short(value: float) -> float:
    """Five digits: what a chart can show."""
    return significant(value, 5)


def as_points(curve: Points) -> list[list[float]]:
    """A thinned curve as JSON holds it."""
    return [[short(x) if x % 1 else int(x), short(y)] for x, y in thin(curve)]
