"""What a classifier answers: the classes of the rows of a file or of lines of text, and how right it is on rows with labels."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from launcher.after.choose import choose_model, chosen_checkpoint
from launcher.after.worker import ModelProcess, Show, showing, worker
from launcher.config import read_config
from launcher.errors import DataError, UsageError
from launcher.methods.registry import find_method
from launcher.protocol.work.chats import TextToSort
from launcher.protocol.work.requests import ScoreClassifier, SortTexts
from launcher.protocol.work.results import WorkProgress
from launcher.protocol.work.scores import ClassifierScores, SortedChunk, SortedRow, SortingDone
from launcher.run import RunDir


class SortedRows(TypedDict):
    """The classes of rows."""

    rows: list[SortedRow]
    """The rows in their order."""
    cut: int
    """Rows that are longer than model.max_length and were read up to it."""


def is_classifier(run: RunDir) -> bool:
    """Whether the run trains a classifier."""
    return find_method(read_config(str(run.config)).trainer.kind).classifies


def judge(run: RunDir, data: Path, *, max_rows: int | None, checkpoint: str | None) -> ClassifierScores:
    """The scores of the run's classifier on a file with labels."""
    chosen = chosen_checkpoint(run, checkpoint)
    request = ScoreClassifier(
        run_dir=str(run.path),
        checkpoint=str(chosen) if chosen else None,
        data=str(data.absolute()),
        max_rows=max_rows,
    )
    with worker(request) as work, showing() as show:
        return work.result(ClassifierScores, show)


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
) -> Generator[Iterator[SortedChunk | SortingDone]]:
    """The replies of a classifier of a run or of an export: rows, chunk by chunk, and their number at the end."""
    with worker(_request(runs_dir, name, wanted)) as work:
        for text in texts:
            work.send(TextToSort(text=text))
        work.no_more()
        with showing() as show:
            yield _replies(work, show)


def _replies(work: ModelProcess, show: Show) -> Iterator[SortedChunk | SortingDone]:
    for reply in work.replies():
        if isinstance(reply, WorkProgress):
            show(reply)
        if isinstance(reply, SortedChunk | SortingDone):
            yield reply


def _request(runs_dir: Path, name: str | None, wanted: Wanted) -> SortTexts:
    model = choose_model(runs_dir, name, checkpoint=wanted.checkpoint, base=False, trust_run=wanted.trust_run)
    data = str(wanted.data.absolute()) if wanted.data else None
    return SortTexts(model=model, data=data, threshold=wanted.threshold)
