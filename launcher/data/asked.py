"""What a check of data is asked to look at."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.data.portion import Portion
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.data.template import ChatTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """The options of a check."""

    path: str | Path
    eval_path: str | Path | None = None
    reading: Reading = AS_IT_STANDS
    max_length: int = 2048
    bytes_per_token: float = 4.0
    tokenizer: Any = None
    template: ChatTemplate | None = None
    """The model's chat template, if there is no tokenizer: rows are rendered with it, but not counted."""
    assistant_only: bool = True
    compare: bool = True
    """Look for duplicates and for overlap with eval_path."""
    sample: int = 0
    """Number of examples to select for a person to read."""
    portion: Portion = field(default_factory=Portion)
    """The rows that a run uses, and those that it holds out."""
