"""When a metric has stopped improving."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The state of a metric after its values so far."""

    patience: int
    """Number of consecutive evaluations without an improvement after which the run ends."""
    threshold: float
    """A value counts as an improvement if it is better than the best one by more than this."""
    greater_is_better: bool
    best: float | None = None
    best_step: int | None = None
    waited: int = 0
    """Number of consecutive evaluations without an improvement so far."""

    @property
    def over(self) -> bool:
        """Whether the run ends."""
        return self.waited >= self.patience

    def after(self, step: int, value: float) -> Patience:
        """The state after one more value; NaN and infinity are never an improvement."""
        if math.isfinite(value) and (self.best is None or self._gain(self.best, value) > self.threshold):
            return replace(self, best=value, best_step=step, waited=0)
        return replace(self, waited=self.waited + 1)

    def _gain(self, old: float, new: float) -> float:
        return new - old if self.greater_is_better else old - new
