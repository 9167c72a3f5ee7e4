"""The time line of a run's attempts: what the time was spent on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from launcher import units
from launcher.report.charts import SHOWN
from launcher.report.page import Chart, Table
from launcher.run.attempts import Attempt
from launcher.units import plural

_KINDS = ("start-up", "training", "evaluation", "sample answer", "export", "lost")
"""Kinds of time on the time line, as page.js colours them."""


def timeline(attempts: Sequence[Attempt]) -> Chart | None:
    """A time line of all attempts."""
    if not attempts:
        return None
    shown = attempts[-SHOWN:]
    spans: list[dict[str, Any]] = []
    ticks: list[dict[str, Any]] = []
    for row, one in enumerate(shown):
        for kind, begin, end in (
            ("start-up", one.began, one.trained),
            ("training", one.trained, one.kept),
            ("lost", one.kept, one.ended),
        ):
            more = f", {plural(one.lost_steps, 'step')} repeated" if kind == "lost" and one.lost_steps else ""
            spans += [_span(row, kind, start, stop, more) for start, stop in _without(begin, end, one.apart)]
        spans += [_span(row, kind, begin, end) for kind, begin, end in one.apart]
        ticks += [
            {"row": row, "at": round(time, 3), "text": f"saved step {step:,}"}
            for time, step in one.saves[-200:]
        ]
    lost = sum(one.lost_steps for one in attempts)
    summary = f"{plural(len(attempts), 'attempt')} in {units.elapsed(attempts[-1].ended)}"
    summary += f"; {plural(lost, 'step')} lost and repeated." if lost else "; no step was lost."
    summary += f" The last {SHOWN} are drawn." if len(attempts) > SHOWN else ""
    rows = [f"attempt {one.number}" for one in shown]
    table = Table(
        columns=("attempt", *_KINDS),
        rows=[
            (one.number, *(round(_seconds(spans, row, kind), 1) for kind in _KINDS))
            for row, one in enumerate(shown)
        ],
        note="seconds",
    )
    spec = {"rows": rows, "spans": spans, "ticks": ticks}
    return Chart(
        id="timeline", title="Time line", summary=summary, kind="timeline", spec=spec, table=table, wide=True
    )


def _span(row: int, kind: str, begin: float, end: float, more: str = "") -> dict[str, Any]:
    text = f"{kind}: {units.elapsed(end - begin)}{more}"
    return {"row": row, "kind": kind, "from": round(begin, 3), "to": round(end, 3), "text": text}


def _without(
    begin: float, end: float, apart: Sequence[tuple[str, float, float]]
) -> Iterator[tuple[float, float]]:
    """The parts of a time in which no other work was done."""
    for _, first, last in apart:
        if begin < first < end:
            yield begin, first
        if first < end:
            begin = max(begin, last)
    if begin < end:
        yield begin, end


def _seconds(spans: Sequence[Mapping[str, Any]], row: int, kind: str) -> float:
    return sum(one["to"] - one["from"] for one in spans if one["row"] == row and one["kind"] == kind)
