"""NEFTune: noise on the embeddings during training, which improves the answers of small chat fine-tunes.

Memory and speed: the noise for one batch of embeddings. It is switched off in evaluations and after training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from launcher.plugins.base import Plugin, check_types

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan


@dataclass(frozen=True, kw_only=True)
class NEFTune(Plugin):
    """Uniform noise of alpha / sqrt(tokens * hidden_size). Source: Jain et al., arXiv 2310.05914; transformers' own hook."""

    noise_alpha: float = 5.0
    """Scale of the noise; the paper uses 5, 10 and 15."""

    def __post_init__(self) -> None:
        check_types(self, "plugins.neftune")
        if not 0 < self.noise_alpha < float("inf"):
            raise ValueError(
                f"plugins.neftune.noise_alpha={self.noise_alpha} must be a number above 0; or remove neftune from plugin=[...]"
            )

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """The plan whose trainer adds the noise."""
        return replace(plan, trainer_args={**plan.trainer_args, "neftune_noise_alpha": self.noise_alpha})
