"""Forgetting guard: it measures the model's perplexity on general text before, during and after training.

A fine-tuned model forgets a part of what it knew. Its perplexity on text that is unrelated to the training data shows how much.
Memory: the logits of one paragraph. Speed: one forward pass over the text at each measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.plan.traits import Traits
from launcher.plugins.base import Plugin, check_types

_KEY = "plugins.forgetting_guard"


@dataclass(frozen=True, kw_only=True)
class ForgettingGuard(Plugin):
    """Perplexity on held-out general text. Source: Luo et al., arXiv 2308.08747, on forgetting in fine-tunes."""

    text_path: Any = None
    """Text file whose paragraphs are separated by blank lines; null uses the shipped file, which has 60 short paragraphs."""
    every_steps: int = 100
    """Steps between measurements during training; 0 measures only before and after training."""
    max_increase: Any = None
    """The run stops with exit code 11 when perplexity exceeds its value before training by this factor; null sets no limit."""
    max_length: int = 256
    """Number of tokens of each paragraph that are used at most."""

    def __post_init__(self) -> None:
        check_types(self, _KEY)
        if self.every_steps < 0:
            raise ValueError(f"{_KEY}.every_steps={self.every_steps} must be at least 0")
        if self.max_length < 2:
            raise ValueError(f"{_KEY}.max_length={self.max_length} must be at least 2 tokens")
        limit = self.max_increase
        if limit is not None and (type(limit) not in (int, float) or not 1 < limit < float("inf")):
            raise ValueError(
                f"{_KEY}.max_increase={limit!r} must be a number above 1, such as 1.2 for a rise of 20 %, or null"
            )
        if self.text_path is not None and not isinstance(self.text_path, str):
            raise ValueError(
                f"{_KEY}.text_path={self.text_path!r} must be a path, or null for the shipped text"
            )

    @property
    def traits(self) -> Traits:
        """It measures token predictions; a rule refuses this for a reward model."""
        return Traits(needs_token_predictions=True, measures_tokens=self.max_length)

    @property
    def files(self) -> Mapping[str, str]:
        """The text, unless it is the shipped one."""
        return {} if self.text_path is None else {"text_path": str(self.text_path)}

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
