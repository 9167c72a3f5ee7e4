"""When a metric has stopped getting better: values in, values out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What has been seen of a metric so far."""

    patience: int
    """Evaluations in a row without a better value after which it is over."""
    threshold: float
    """A value must be better by more than this to count."""
    greater_is_better: bool
    best: float | None = None
    best_step: int | None = None
    waited: int = 0
    """Evaluations in a row without a better value."""

    @property
    def over(self) -> bool:
        """Whether it has been waited for long enough."""
        return self.waited >= self.patience

    def after(self, step: int, value: float) -> Patience:
        """The same with one more value; one that is no number is never better."""
        if math.isfinite(value) and (self.best is None or self._gain(self.best, value) > self.threshold):
            return replace(self, best=value, best_step=step, waited=0)
        return replace(self, waited=self.waited + 1)

    def _gain(self, old: float, new: float) -> float:
        return new - old if self.greater_is_better else old - new
