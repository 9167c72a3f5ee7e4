"""The data group: what is trained on."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

from omegaconf import MISSING

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class DataCheck(Enum):
    """What is looked for in the data before a launch. `full`: everything that `data check` finds."""

    full = "full"
    errors = "errors"
    off = "off"


@dataclass(kw_only=True)
class SourceConfig:
    """One of several training sets."""

    path: str = MISSING
    """As data.path."""
    weight: float = 1.0
    """How often each row is seen in an epoch: 2 is twice, 0.5 every other row."""
    format: str = "auto"
    """As data.format, for this source."""


@dataclass(kw_only=True)
class DataConfig:
    """What is trained on; docs/data.md shows the formats."""

    path: Optional[str] = None  # noqa: UP045
    """JSONL, JSON, CSV, TSV, TXT or Parquet file, or `hub:NAME[/SUBSET][:SPLIT][@REVISION]`, read on the nodes."""
    format: str = "auto"
    """The row format of path and eval_path, or `auto`: it is then detected from each row's keys."""
    sources: list[SourceConfig] = field(default_factory=list[SourceConfig])
    """Several training sets in the place of path: [{path: a.jsonl, weight: 2}, {path: b.csv}]."""
    eval_path: Optional[str] = None  # noqa: UP045
    """The same as path for evaluation; None evaluates nothing."""
    check: DataCheck = DataCheck.full
    """`errors` leaves out duplicates and overlap with eval_path, `off` everything; `full` is kept for large files."""
