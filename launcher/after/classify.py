"""What a classifier answers: the classes of the rows of a file or of lines of text, and how right it is on rows with labels."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from launcher.after.choose import chosen_checkpoint, exported
from launcher.after.worker import ModelProcess, showing, worker
from launcher.config import read_config
from launcher.errors import DataError, UsageError
from launcher.methods.registry import find_method
from launcher.run import RunDir, find_run
from launcher.run.owner import check_trusted


class SortedRow(TypedDict):
    """A row and the classes that the model gives it."""

    line: int
    """Its line in the file, or its number among the lines of text, from 1."""
    labels: list[str]
    """Its class; with trainer.multi_label the classes whose probability is at least --threshold, the likeliest first."""
    probabilities: dict[str, float]
    """The probability of every class."""


class SortedRows(TypedDict):
    """The classes of rows."""

    rows: list[SortedRow]
    """The rows in their order."""
    cut: int
    """Rows that are longer than model.max_length and were read up to it."""


class ClassScore(TypedDict):
    """How well the model tells one class."""

    label: str
    """The class."""
    rows: int
    """Rows that have it."""
    answered: int
    """Rows for which the model answers it."""
    right: int
    """Rows that have it and for which the model answers it."""
    precision: float | None
    """right / answered; null if it is never answered."""
    recall: float | None
    """right / rows; null if no row has it."""
    f1: float | None
    """Harmonic mean of the two; null if both counts are 0."""


class ConfusedRow(TypedDict):
    """Rows of one class for which one class is answered."""

    label: str
    """The class that the rows have."""
    answered: str
    """The class that the model answers."""
    rows: int
    """Number of rows."""


class CalibrationBin(TypedDict):
    """Decisions of similar confidence."""

    confidence: float
    """Their mean confidence."""
    right: float
    """The share of them that is right."""
    decisions: int
    """Their number."""


class ClassifierScores(TypedDict):
    """A classifier, and the constant answer that needs no model, on the same rows."""

    run: str
    """name/date_time."""
    data: str
    """Absolute path of the data file."""
    rows: int
    """Rows that were evaluated."""
    cut: int
    """Rows that are longer than model.max_length and were read up to it."""
    constant: dict[str, float]
    """Metrics of a model that knows only how often each class occurs in the training rows, and always answers the same: loss,
    accuracy, macro_f1, micro_f1 (several classes to a row only) and calibration_error."""
    constant_label: str | None
    """That answer; null with several classes to a row."""
    tuned: dict[str, float]
    """The same metrics of the trained model."""
    classes: list[ClassScore]
    """Each class."""
    confusion: list[ConfusedRow]
    """The pairs that occur; empty with several classes to a row."""
    calibration: list[CalibrationBin]
    """The bins of the confidence that are not empty."""


def is_classifier(run: RunDir) -> bool:
    """Whether the run trains a classifier."""
    return find_method(read_config(str(run.config)).trainer.kind).classifies


def judge(run: RunDir, data: Path, *, max_rows: int | None, checkpoint: str | None) -> ClassifierScores:
    """The scores of the run's classifier on a file with labels."""
    chosen = chosen_checkpoint(run, checkpoint)
    request = {
        "verb": "classify", "run_dir": str(run.path), "folder": None, "data": str(data.absolute()), "max_rows": max_rows,
        "checkpoint": str(chosen) if chosen else None, "scores": True, "threshold": 0.5,
    }  # fmt: skip
    with worker(request) as work, showing() as show:
        found = work.result(show)
    return {
        "run": run.name,
        "data": found["data"],
        "rows": found["rows"],
        "cut": found["cut"],
        "constant": found["constant"],
        "constant_label": found["constant_label"],
        "tuned": found["tuned"],
        "classes": found["classes"],
        "confusion": found["confusion"],
        "calibration": found["calibration"],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to sort, and by which weights."""

    data: Path | None
    """A file of rows; None for texts."""
    checkpoint: str | None
    """A step, or newest, instead of the finished model."""
    threshold: float
    """Least probability of a class that a row gets, if a row can have several."""
    trust_run: bool = False
    """Use a run of another user, whose code then runs with this user's rights."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise UsageError(f"--threshold {self.threshold:g} must be above 0 and below 1")
        if self.data is not None and not self.data.is_file():
            raise DataError(
                f"--data {self.data} is not a file; give the path of a JSONL, JSON, CSV, TXT or Parquet file"
            )


@contextlib.contextmanager
def sorting(
    runs_dir: Path, name: str | None, wanted: Wanted, texts: list[str]
) -> Generator[Iterator[dict[str, Any]]]:
    """The replies of a classifier of a run or of an export: `rows` with a list of SortedRow, chunk by chunk, and `result`
    with `cut` at the end."""
    with worker(_request(runs_dir, name, wanted)) as work:
        for text in texts:
            work.send({"text": text})
        work.no_more()
        with showing() as show:
            yield _replies(work, show)


def _replies(work: ModelProcess, show: Any) -> Iterator[dict[str, Any]]:
    for reply in work.replies():
        if "progress" in reply:
            show(reply["progress"])
        if "rows" in reply or "result" in reply:
            yield reply


def _request(runs_dir: Path, name: str | None, wanted: Wanted) -> dict[str, Any]:
    folder = exported(name)
    request: dict[str, Any] = {
        "verb": "classify", "run_dir": "", "folder": str(folder) if folder else None, "checkpoint": None, "scores": False,
        "data": str(wanted.data.absolute()) if wanted.data else None, "threshold": wanted.threshold,
    }  # fmt: skip
    if folder is None:
        run = find_run(runs_dir, name)
        check_trusted(run, wanted.trust_run)
        request["run_dir"] = str(run.path)
        if checkpoint := chosen_checkpoint(run, wanted.checkpoint):
            request["checkpoint"] = str(checkpoint)
    elif wanted.checkpoint:
        raise UsageError(f"{folder} is an export; --checkpoint needs a run")
    return request
