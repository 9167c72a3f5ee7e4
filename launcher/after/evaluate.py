"""A comparison of the base model with the trained one on a data file, or of a classifier with a constant answer."""

from pathlib import Path

from launcher.after.choose import chosen_checkpoint
from launcher.after.classify import is_classifier, judge
from launcher.after.worker import showing, worker
from launcher.errors import DataError, UsageError, unknown
from launcher.protocol.work.requests import CompareWithBase
from launcher.protocol.work.scores import BaseComparison, ClassifierScores
from launcher.run import RunDir

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
    request = CompareWithBase(
        run_dir=str(run.path),
        checkpoint=str(chosen) if chosen else None,
        data=str(data.absolute()),
        max_rows=max_rows,
        metrics=tuple(names),
    )
    with worker(request) as work, showing() as show:
        return work.result(BaseComparison, show)


def check_metrics(names: list[str]) -> None:
    """Raises UsageError if a name is unknown, or if there is none."""
    for name in names:
        if name not in METRICS:
            raise UsageError(f"--metrics: {unknown('metric', name, METRICS)}")
    if not names:
        raise UsageError(f"--metrics is empty; give some of {', '.join(METRICS)}")
