"""NEFTune: noise on the embeddings during training, which improves the answers of small chat fine-tunes.

Memory and speed: the noise for one batch of embeddings. It is switched off in evaluations and after training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from launcher.plan.traits import Traits
from launcher.plugins.base import Plugin, check_types
from launcher.rule import Rule

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan


_PARTS = Rule(
    number=1,
    what="plugins.neftune with strategy.sequence_parallel_size",
    reason="transformers 5.23 scales the noise by the tokens that a rank holds, which are then a part of the sequence",
    way_out="take neftune out of plugin=[...], or use strategy.sequence_parallel_size=1",
    values=lambda run: f"strategy.sequence_parallel_size={run.degrees.sequence}",
    broken=lambda run: run.degrees.sequence > 1,
)


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

    @property
    def traits(self) -> Traits:
        """Its noise is scaled by the tokens of a whole sequence."""
        return Traits(rules=(_PARTS,))

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """The plan whose trainer adds the noise."""
        return replace(plan, trainer_args={**plan.trainer_args, "neftune_noise_alpha": self.noise_alpha})
