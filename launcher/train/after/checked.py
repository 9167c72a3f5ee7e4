"""What is known of an export once it was compared with the trained model, and the outcome of that check."""

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.errors import RunError
from launcher.masking import mask
from launcher.run import RunDir
from launcher.run.events.results import Exported

FAILED = "failed"
"""The value of `verified` for an export whose check failed. Such an export is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFacts:
    """How an export was checked, and what it holds."""

    verified: str
    """logits: it was loaded again and its logits compared; tensors: every tensor was read back; failed: the check failed."""
    difference: float | None = None
    """The largest difference of its logits from the trained model's, relative to their size; None if not compared."""
    tolerance: float | None = None
    """The largest difference that rounding explains; None if not compared."""
    why: str | None = None
    """Why the check failed; None if it did not fail."""
    data: Sequence[Mapping[str, Any]] = ()
    """use, path and sha256 of every file of training and evaluation data."""
    step: int | None = None
    """The step of its weights; None for those at the end of training."""
    effect: float | None = None
    """Difference of its logits from the base model's, relative to their size; None if not merged."""

    def event(self, run: RunDir, attempt: int, step: int) -> Exported:
        """The event of the end of training, at that step."""
        return Exported(
            attempt=attempt, path=str(run.export), step=step, verified=self.verified, difference=self.difference,
            tolerance=self.tolerance, why=self.why, data=self.data,
        )  # fmt: skip


def outcome(check: Callable[[], ExportFacts]) -> ExportFacts:
    """The result of the check, or the reason why it failed. The export is already on disk, and no failure of the check (other
    logits, too little memory, a kernel that this device lacks) is a reason to delete what was trained."""
    try:
        return check()
    except Exception as error:
        if not isinstance(error, RunError):
            print(mask(traceback.format_exc()), file=sys.stderr, end="", flush=True)
        first = str(error).strip().partition("\n")[0]
        why = first if isinstance(error, RunError) else f"{type(error).__name__}: {first}"
        return ExportFacts(verified=FAILED, why=why)
