"""Forgetting guard: what a model still knows of general text, before, during and after training.

A fine-tune pays for what it learns with what it forgets. The perplexity on a text that has nothing to do with the training
data shows the price. Memory: the logits of one paragraph. Speed: a forward pass over the text, at each measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher.errors import PlanError
from launcher.plugins.base import Plugin, check_types

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

_KEY = "plugins.forgetting_guard"


@dataclass(frozen=True, kw_only=True)
class ForgettingGuard(Plugin):
    """Perplexity on held-out general text. Source: Luo et al., arXiv 2308.08747, on forgetting in fine-tunes."""

    text_path: Any = None
    """Text file, paragraphs apart by a blank line; null takes the shipped one, 60 short paragraphs on everyday subjects."""
    every_steps: int = 100
    """Steps between measurements during training; 0 measures before and after it only."""
    max_increase: Any = None
    """The run stops with exit code 11 when the perplexity is more than so many times what it was before; null never stops."""
    max_length: int = 256
    """Tokens of a paragraph that are looked at."""

    def __post_init__(self) -> None:
        check_types(self, _KEY)
        if self.every_steps < 0:
            raise ValueError(f"{_KEY}.every_steps={self.every_steps} must be at least 0")
        if self.max_length < 2:
            raise ValueError(f"{_KEY}.max_length={self.max_length} must be at least 2 tokens")
        limit = self.max_increase
        if limit is not None and (type(limit) not in (int, float) or not 1 < limit < float("inf")):
            raise ValueError(
                f"{_KEY}.max_increase={limit!r} must be a number above 1, such as 1.2 for a fifth more, or null"
            )
        if self.text_path is not None and not isinstance(self.text_path, str):
            raise ValueError(
                f"{_KEY}.text_path={self.text_path!r} must be a path, or null for the shipped text"
            )

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """Refuses a text that is not there; a model that predicts no tokens is refused by a rule."""
        if self.text_path is not None and not Path(plan.facts.work_dir, self.text_path).is_file():
            raise PlanError(f"{_KEY}.text_path={self.text_path} is no file; name a text file, or use null")
        return plan

    def on_trainer(self, trainer: Any) -> Any:
        """Adds the measurements."""
        from launcher.plugins.on_rank.forgetting import Forgetting

        trainer.add_callback(
            Forgetting(
                trainer,
                text_path=self.text_path,
                every_steps=self.every_steps,
                max_increase=self.max_increase,
                max_length=self.max_length,
            )
        )
        return trainer
