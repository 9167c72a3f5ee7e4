"""The data group: what is trained on."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

from omegaconf import MISSING

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class DataFormat(Enum):
    """What a row looks like. `auto`: told from its keys."""

    auto = "auto"
    messages = "messages"
    sharegpt = "sharegpt"
    preference = "preference"
    prompt_completion = "prompt_completion"
    alpaca = "alpaca"
    input_output = "input_output"
    labelled = "labelled"
    prompt = "prompt"
    text = "text"


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
    format: DataFormat = DataFormat.auto


@dataclass(kw_only=True)
class DataConfig:
    """What is trained on; docs/data.md shows the formats."""

    path: Optional[str] = None  # noqa: UP045
    """JSONL, JSON, CSV, TSV, TXT or Parquet file, or `hub:NAME[/SUBSET][:SPLIT][@REVISION]`, read on the nodes."""
    format: DataFormat = DataFormat.auto
    """What a row looks like, in path and eval_path."""
    sources: list[SourceConfig] = field(default_factory=list[SourceConfig])
    """Several training sets in the place of path: [{path: a.jsonl, weight: 2}, {path: b.csv}]."""
    eval_path: Optional[str] = None  # noqa: UP045
    """The same as path for evaluation; None evaluates nothing."""
    check: DataCheck = DataCheck.full
    """`errors` leaves out duplicates and overlap with eval_path, `off` everything; `full` is kept for large files."""
