"""Charts of a run's curves: values for page.js, each with its numbers as a table."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from launcher import units
from launcher.report.curves import (
    LoggedCurves,
    Points,
    as_points,
    is_number,
    points,
    sample_rows,
    short,
    smooth,
)
from launcher.report.facts import RunFacts, at
from launcher.report.page import Chart, Table
from launcher.run.attempts import Attempt
from launcher.run.events.results import General

SHOWN = 40
"""Most attempts on the time line."""
_OTHERS = 12
"""Most charts of measures that this page does not know."""
_KNOWN = {
    "time", "step", "total_steps", "loss", "learning_rate", "grad_norm", "epoch", "samples", "tokens", "tokens_per_s",
    "tokens_per_s_per_gpu", "mfu", "hfu", "data_wait_s", "peak_memory_gib", "eval_loss", "trained_tokens", "attempt",
    "perplexity", "general_perplexity",
}  # fmt: skip


def series(name: str, curve: Points, color: int, **more: Any) -> dict[str, Any]:
    """One curve of a `lines` chart; `color` is an index into the page's palette."""
    return {"name": name, "color": color, "points": as_points(curve), **more}


def loss(record: LoggedCurves, attempts: Sequence[Attempt]) -> Chart | None:
    """Training and evaluation loss over steps, with the steps at which the ranks restarted."""
    trained, evaluated = points(record.training, "loss"), points(record.evaluation, "eval_loss")
    if not trained and not evaluated:
        return None
    smoothed = smooth(trained)
    shown = [series("training", trained, 0, faint=smoothed is not None)]
    if smoothed:
        shown.append(series("training, smoothed", smoothed, 0))
    if evaluated:
        shown.append(series("evaluation", evaluated, 1, dots=True))
    summary: list[str] = []
    if trained:
        summary.append(f"Training loss went from {trained[0][1]:.4f} to {(smoothed or trained)[-1][1]:.4f}")
    if evaluated:
        lowest = min(evaluated, key=lambda one: one[1])
        summary.append(
            f"evaluation loss from {evaluated[0][1]:.4f} to {evaluated[-1][1]:.4f}, lowest at step {lowest[0]:,.0f} "
            f"({lowest[1]:.4f})"
        )
    marks = [{"x": one.from_step, "label": f"attempt {one.number}"} for one in attempts if one.from_step]
    by_step = dict(evaluated)
    rows = [(int(step), value, by_step.get(step)) for step, value in trained]
    return lines_chart(
        "loss", "Loss", f"{'; '.join(summary)}.", shown, ("step", "training loss", "evaluation loss"), rows,
        x="step", y="loss", marks=marks[-SHOWN:], wide=True,
    )  # fmt: skip


def rates(record: LoggedCurves) -> list[Chart]:
    """Learning rate and gradient norm."""
    found: list[Chart] = []
    rate = points(record.training, "learning_rate")
    if rate:
        highest = max(rate, key=lambda one: one[1])
        summary = f"Highest {highest[1]:.3g} at step {highest[0]:,.0f}, last {rate[-1][1]:.3g}."
        found.append(
            lines_chart("learning-rate", "Learning rate", summary, [series("learning rate", rate, 3)],
                        ("step", "learning rate"), rate, x="step", y="learning rate")
        )  # fmt: skip
    norm = points(record.training, "grad_norm")
    if norm:
        summary = f"Median {median(y for _, y in norm):.3g}, highest {max(y for _, y in norm):.3g}, before clipping."
        smoothed = smooth(norm)
        shown = [series("gradient norm", norm, 4, faint=smoothed is not None)]
        shown += [series("smoothed", smoothed, 4)] if smoothed else []
        found.append(
            lines_chart("gradient-norm", "Gradient norm", summary, shown, ("step", "gradient norm"), norm,
                        x="step", y="norm")
        )  # fmt: skip
    return found


def general_text(facts: RunFacts) -> Chart | None:
    """Perplexity on general text over steps, if the plugin forgetting_guard measured it."""
    curve = sorted((float(event.step), event.perplexity) for event in facts.of(General))
    if len(curve) < 2:
        return None
    summary = (
        f"On text that is not trained on: from {units.number(curve[0][1])} to {units.number(curve[-1][1])}. "
    )
    summary += "A rise means forgetting."
    return lines_chart(
        "general-text", "Perplexity on general text", summary, [series("perplexity", curve, 1, dots=True)],
        ("step", "perplexity"), curve, x="step", y="perplexity",
    )  # fmt: skip


def speed(record: LoggedCurves, facts: RunFacts) -> list[Chart]:
    """Tokens per second, FLOPs utilisation and waiting for data, as far as they were measured."""
    found: list[Chart] = []
    lines = record.training
    world = at(facts.plan, "topology", "world_size") or 1
    rate = points(lines, "tokens_per_s")
    if rate:
        planned = at(facts.plan, "time", "tokens_per_s")
        middle = median(y for _, y in rate)
        summary = f"Median {units.number(round(middle))} tokens/s"
        summary += f", {units.number(round(middle / world))} for each of {world}" if world > 1 else ""
        summary += f"; planned {units.number(round(planned))}." if is_number(planned) else "."
        shown = [series("tokens/s", rate, 2)]
        found.append(
            lines_chart("throughput", "Throughput", summary, shown, ("step", "tokens/s", "tokens/s per GPU or rank"),
                        [(x, y, y / world) for x, y in rate], x="step", y="tokens/s", zero=True)
        )  # fmt: skip
    use = [(name, points(lines, key)) for key, name in (("mfu", "model (MFU)"), ("hfu", "hardware (HFU)"))]
    use = [(name, [(x, 100 * y) for x, y in curve]) for name, curve in use if curve]
    if use:
        summary = (
            "; ".join(f"{name}: median {median(y for _, y in curve):.3g} %" for name, curve in use) + "."
        )
        shown = [series(name, curve, color) for color, (name, curve) in enumerate(use)]
        found.append(
            lines_chart("utilisation", "FLOPs utilisation", summary, shown, ("step", f"{use[0][0]}, %"), use[0][1],
                        x="step", y="% of peak", zero=True)
        )  # fmt: skip
    wait = points(lines, "data_wait_s")
    if wait:
        summary = f"Mean {fmean(y for _, y in wait):.3g} s, longest {max(y for _, y in wait):.3g} s."
        found.append(
            lines_chart("data-wait", "Waiting for data", summary, [series("seconds", wait, 5)], ("step", "seconds"), wait,
                        x="step", y="s", zero=True)
        )  # fmt: skip
    return found


def others(record: LoggedCurves) -> list[Chart]:
    """A chart for every other number that was logged, such as a preference objective's rewards."""
    found: list[Chart] = []
    for lines, kind in ((record.training, "train"), (record.evaluation, "eval"), (record.measured, "own")):
        keys = dict.fromkeys(key for line in lines for key in line if key not in _KNOWN)
        for key in keys:
            curve = points(lines, key)
            if len(curve) < 2:
                continue
            name = key.replace("_", " ")
            summary = f"From {units.number(curve[0][1])} to {units.number(curve[-1][1])}."
            found.append(
                lines_chart(f"other-{kind}-{len(found)}", name, summary, [series(name, curve, 3 + len(found) % 3)],
                            ("step", name), curve, x="step", y=name)
            )  # fmt: skip
    return found[:_OTHERS]


def lines_chart(
    id: str, title: str, summary: str, shown: Sequence[Mapping[str, Any]], columns: Sequence[str],
    rows: Sequence[Sequence[Any]], *, x: str, y: str, wide: bool = False, **more: Any,
) -> Chart:  # fmt: skip
    """A chart of curves over x."""
    chosen, note = sample_rows(rows)
    table = Table(columns=columns, rows=[tuple(_cell(value) for value in row) for row in chosen], note=note)
    spec = {"x": x, "y": y, "series": list(shown), **more}
    return Chart(id=id, title=title, summary=summary, kind="lines", spec=spec, table=table, wide=wide)


def _cell(value: Any) -> Any:
    return (
        short(value)
        if isinstance(value, float) and value % 1
        else int(value)
        if isinstance(value, float)
        else value
    )
