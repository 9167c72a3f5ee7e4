"""A comparison of the base model with the trained one on a data file, or of a classifier with a constant answer."""

from pathlib import Path
from typing import TypedDict

from launcher.after.choose import chosen_checkpoint
from launcher.after.classify import ClassifierScores, is_classifier, judge
from launcher.after.worker import showing, worker
from launcher.errors import DataError, UsageError, unknown
from launcher.run import RunDir


class BaseComparison(TypedDict):
    """The base model and the trained one on the same rows."""

    run: str
    """name/date_time."""
    data: str
    """Absolute path of the data file."""
    rows: int
    """Rows that were evaluated."""
    left_out: int
    """Rows that were left out because they have no trained token."""
    tokens: int
    """Trained tokens of these rows, over which the loss is a mean."""
    questions: int | None
    """Chats whose last answer was generated for exact_match; null without that metric."""
    base: dict[str, float | None]
    """Metrics of the base model: loss, perplexity, exact_match (a share); null where no row has a question and an answer."""
    tuned: dict[str, float | None]
    """The same metrics of the trained model."""


METRICS = ("loss", "exact_match")


def evaluate(
    run: RunDir, data: Path, *, metrics: str | None, max_rows: int | None, checkpoint: str | None
) -> BaseComparison | ClassifierScores:
    """The metrics of the run's model, and of what it is compared with; `metrics` are comma-separated names, None for all."""
    names: list[str] = list(METRICS) if metrics is None else [name for name in metrics.split(",") if name]
    check_metrics(names)
    if max_rows is not None and max_rows < 1:
        raise UsageError(f"--max-rows {max_rows} must be at least 1")
    if not data.is_file():
        raise DataError(
            f"--data {data} is not a file; give the path of a JSONL, JSON, CSV, TXT or Parquet file"
        )
    if is_classifier(run):
        if metrics is not None:
            raise UsageError(
                f"--metrics {metrics}: {run.name} is a classifier, and all of its metrics are computed; leave it out"
            )
        return judge(run, data, max_rows=max_rows, checkpoint=checkpoint)
    chosen = chosen_checkpoint(run, checkpoint)
    request = {
        "verb": "evaluate", "run_dir": str(run.path), "data": str(data.absolute()), "max_rows": max_rows,
        "metrics": names, "checkpoint": str(chosen) if chosen else None,
    }  # fmt: skip
    with worker(request) as work, showing() as show:
        result = work.result(show)
    return {
        "run": run.name,
        "data": result["data"],
        "rows": result["rows"],
        "left_out": result["left_out"],
        "tokens": result["tokens"],
        "questions": result["questions"],
        "base": result["base"],
        "tuned": result["tuned"],
    }


def check_metrics(names: list[str]) -> None:
    """Raises UsageError if a name is unknown, or if there is none."""
    for name in names:
        if name not in METRICS:
            raise UsageError(f"--metrics: {unknown('metric', name, METRICS)}")
    if not names:
        raise UsageError(f"--metrics is empty; give some of {', '.join(METRICS)}")
