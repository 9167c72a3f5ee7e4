"""The data group: what is trained on."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

from launcher.config.missing import MISSING

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.

AUTO = "auto"
"""The value of data.format that detects each row's format from its keys."""


class DataCheck(Enum):
    """What is looked for in the data before a launch. `full`: everything that `data check` finds."""

    full = "full"
    errors = "errors"
    off = "off"


class BadRow(Enum):
    """What an invalid row does: `error` stops the launch, `skip` leaves the row out."""

    error = "error"
    skip = "skip"


class EvalCopies(Enum):
    """Which copies of a row stay on its side of data.eval_fraction."""

    near = "near"
    exact = "exact"


@dataclass(kw_only=True)
class SourceConfig:
    """One of several training sets."""

    path: str = MISSING
    """As data.path, for this source."""
    weight: float = 1.0
    """How many times each row is seen in one epoch: 2 is twice; 0.5 is a random half of the rows."""
    format: str = AUTO
    """As data.format, for this source."""
    columns: dict[str, str] = field(default_factory=dict[str, str])
    """As data.columns, for this source; empty takes data.columns."""


@dataclass(kw_only=True)
class DataConfig:
    """What is trained on; docs/guide/data.md shows the formats."""

    path: Optional[str] = None  # noqa: UP045
    """JSONL, JSON, CSV, TSV, TXT or Parquet file, or `hub:NAME[/SUBSET][:SPLIT][@REVISION]`, which the nodes read."""
    format: str = AUTO
    """Format of the rows in path and eval_path; `auto` detects it from the keys of each row."""
    columns: dict[str, str] = field(default_factory=dict[str, str])
    """Names of the file's columns for the keys of a format, such as {prompt: question, completion: response}. A place within a
    column is named with dots: {completion: answers.text.0} is the first text in the struct answers."""
    drop: list[str] = field(default_factory=list[str])
    """Columns of the file that are not read; unlike others that no format has, they are left out without a warning."""
    keep: list[str] = field(default_factory=list[str])
    """If not empty, only these columns and those of data.columns are read, and the others are left out without a warning."""
    roles: dict[str, str] = field(default_factory=dict[str, str])
    """Roles of speakers with names of their own, such as {customer: user, agent: assistant}; the usual names of ShareGPT,
    OpenAI and others are known."""
    on_bad_row: BadRow = BadRow.error
    """What an invalid row does: `error` stops the launch; `skip` leaves it out, on the ranks as well, counts and lists it."""
    max_bad_share: float = 0.01
    """Share of invalid rows above which `on_bad_row=skip` still refuses the file."""
    sources: list[SourceConfig] = field(default_factory=list[SourceConfig])
    """Several training sets instead of path, such as [{path: a.jsonl, weight: 2}, {path: b.csv}]."""
    eval_path: Optional[str] = None  # noqa: UP045
    """Evaluation data, given like path; null runs no evaluation, unless eval_fraction holds rows out."""
    eval_fraction: Optional[float] = None  # noqa: UP045
    """Share of the training rows to hold out for evaluation instead of eval_path, such as 0.05. The seed and the content of
    the rows choose them, so every rank and every restart holds out the same rows; near copies of a row stay on its side."""
    eval_copies: EvalCopies = EvalCopies.near
    """Rows that stay on one side of eval_fraction: `near` copies of each other, as the data check finds them, or only `exact`
    ones, for data whose rows are all alike, such as questions from one template."""
    eval_group: Optional[str] = None  # noqa: UP045
    """Column of the rows, such as conversation_id, whose rows with the same value stay on the same side of eval_fraction."""
    max_samples: Optional[int] = None  # noqa: UP045
    """Number of rows of each training set that are used, from its beginning; null uses all. eval_fraction is taken from
    these."""
    eval_max_samples: Optional[int] = None  # noqa: UP045
    """Number of evaluation rows that are used, at most: the first of eval_path, or fewer held out by eval_fraction."""
    check: DataCheck = DataCheck.full
    """What is checked before a launch: `full` also looks for duplicates and overlap with eval_path, `errors` looks only
    for invalid rows, `off` checks nothing."""
    num_workers: int = 0
    """Processes per rank that read and collate batches ahead of training; 0 reads them in the rank itself."""
    prefetch_factor: Optional[int] = None  # noqa: UP045
    """Batches that each of num_workers prepares ahead; null means 2, the default of torch."""


def has_evaluation(data: DataConfig) -> bool:
    """Whether the run has evaluation rows: a file of their own, or a held-out share of the training rows."""
    return data.eval_path is not None or data.eval_fraction is not None
