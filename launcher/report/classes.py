"""The section of a classifier: its accuracy, the confusion matrix, each class, and how far its confidence can be trusted."""

from collections.abc import Sequence

from launcher.report.charts import lines_chart, series
from launcher.report.facts import RunFacts, mapping
from launcher.report.page import GOOD, Chart, Section, Table, Tile
from launcher.run.events.results import Classified
from launcher.units import percent, plural

_MATRIX = 25
"""Most classes of a confusion matrix; of more, only the most frequent errors are shown."""
_ERRORS = 40


def classes(facts: RunFacts) -> Section | None:
    """The newest evaluation of a classifier; None for other runs and before the first evaluation."""
    found = facts.of(Classified)
    if not found:
        return None
    first, last = found[0], found[-1]
    several = [("F1 over all decisions", f"{last.micro_f1:.1%}")] if last.micro_f1 is not None else []
    lines = [
        ("evaluated", f"{plural(last.rows, 'row')} after step {last.step:,}"),
        ("accuracy", _from(first, last, first.accuracy, last.accuracy)),
        ("macro F1", _from(first, last, first.macro_f1, last.macro_f1)),
        *several,
        ("calibration error", _from(first, last, first.calibration_error, last.calibration_error)),
    ]
    chart = _calibration(last)
    return Section(
        id="classes",
        title="Classes",
        facts=lines,
        charts=[chart] if chart else [],
        tables=[*_confusion(last), ("Each class", _each(last))],
    )


def accuracy_tile(facts: RunFacts) -> list[Tile]:
    """The accuracy of the newest evaluation; none for other runs."""
    found = facts.of(Classified)
    if not found:
        return []
    last = found[-1]
    note = f"macro F1 {last.macro_f1:.1%}"
    return [Tile(label="accuracy", value=percent(last.accuracy), note=note, tone=GOOD)]


def _from(first: Classified, last: Classified, before: float, after: float) -> str:
    return f"{after:.1%}" if first is last else f"{after:.1%}, from {before:.1%} at step {first.step:,}"


def _confusion(event: Classified) -> list[tuple[str, Table]]:
    """The confusion matrix, or the most frequent errors of many classes; none with several classes to a row."""
    if not event.confusion:
        return []
    counts = {(truth, said): number for truth, said, number in event.confusion}
    names = event.classes
    if len(names) > _MATRIX:
        wrong = sorted(((n, a, b) for (a, b), n in counts.items() if a != b), reverse=True)[:_ERRORS]
        rows = [(names[a], names[b], n) for n, a, b in wrong]
        table = Table(columns=("class", "answered", "rows"), rows=rows, sortable=True)
        return [("Most frequent errors", table)]
    rows = [
        (name, *(counts.get((truth, said), 0) for said in range(len(names))))
        for truth, name in enumerate(names)
    ]
    table = Table(
        columns=("class", *(f"answered {name}" for name in names)),
        rows=rows,
        note="A row is the class of evaluation rows, and a column what the model answers for them.",
    )
    return [("Confusion matrix", table)]


def _each(event: Classified) -> Table:
    rows = [
        (
            one.get("label"),
            one.get("rows"),
            one.get("answered"),
            one.get("right"),
            *(_share(one.get(name)) for name in ("precision", "recall", "f1")),
        )
        for one in map(mapping, event.by_class)
    ]
    columns = ("class", "rows", "answered", "right", "precision", "recall", "F1")
    return Table(columns=columns, rows=rows, sortable=True)


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"


def _calibration(event: Classified) -> Chart | None:
    """Share that is right over confidence: on the diagonal, the confidence says how often an answer is right."""
    bins: Sequence[Sequence[float]] = event.bins
    if not bins:
        return None
    curve = [(sure, share) for sure, share, _ in bins]
    shown = [
        series("right", curve, 1, dots=True),
        series("well calibrated", [(0.0, 0.0), (1.0, 1.0)], 5, faint=True),
    ]
    error = f"{event.calibration_error:.1%}"
    summary = f"Confidence and the share that is right differ by {error} on average."
    rows = [(sure, share, int(number)) for sure, share, number in bins]
    return lines_chart(
        "calibration", "Calibration", summary, shown, ("confidence", "share that is right", "decisions"), rows,
        x="confidence", y="share right", zero=True,
    )  # fmt: skip
