"""A trainer whose ranks may share each sequence."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from launcher.plan import LaunchPlan
from launcher.train.sequence.attention import exchange_in_attention
from launcher.train.sequence.peers import Peers, make_peers


class SharedSteps:
    """A mixin before trl's SFTTrainer. Its steps and evaluations exchange heads for tokens if `peers` is set."""

    peers: Peers | None = None
    """The ranks that share each sequence with this one; None if no other rank does."""

    def share_sequences(self: Any, plan: LaunchPlan) -> None:
        """Lets ranks share sequences, if the plan says so; ConfigError for a model that cannot do so. Collective."""
        if plan.degrees.sequence == 1:
            return
        peers = make_peers(plan.degrees, plan.device)
        exchange_in_attention(self.model, peers)
        self.peers = peers

    def training_step(self: Any, *arguments: Any, **options: Any) -> Any:
        """A step, in both passes of which ranks exchange."""
        with self._sharing():
            return super().training_step(*arguments, **options)  # pyright: ignore

    def prediction_step(self: Any, *arguments: Any, **options: Any) -> Any:
        """An evaluation's step."""
        with self._sharing():
            return super().prediction_step(*arguments, **options)  # pyright: ignore

    def _sharing(self) -> AbstractContextManager[None]:
        return nullcontext() if self.peers is None else self.peers.sharing()
