"""transformers 5.23: the private methods and fields of Trainer that checkpoints of our own need.

Symptom: Trainer has no public hook for a restore after the model is sharded, for saving and loading its state in another form,
or for the number of trained tokens of a step. A callback is called too late to replace them.
"""

from typing import Any

import torch


class TrainerHooks:
    """A mixin before a Trainer. Subclasses override the methods with public names."""

    _counts_step = False

    def restore_prepared(self) -> None:
        """Called once model and optimizer are prepared and sharded, before the first step."""

    def restore_generators(self, checkpoint: str | None) -> None:
        """Called instead of the Trainer's loading of random generators."""

    def save_now(self) -> None:
        """Called when a callback has requested a save."""

    def trained_in_step(self) -> int | None:
        """Trained tokens of this step over all ranks; None lets the Trainer count them, for which all ranks communicate."""
        return None

    def used_columns(self: Any, dataset: Any) -> Any:
        """The data set without the columns that the model does not take."""
        return self._remove_unused_columns(dataset, description="training")

    def get_batch_samples(self: Any, *arguments: Any) -> Any:
        """The batches of a step and its trained tokens. The model's mode does not tell whether a step or an evaluation is
        counted, because an evaluation leaves it in the mode of evaluations until the next step."""
        self._counts_step = True
        try:
            return super().get_batch_samples(*arguments)  # pyright: ignore
        finally:
            self._counts_step = False

    def _get_num_items_in_batch(self: Any, batches: list[Any], device: Any) -> Any:
        trained = self.trained_in_step() if self._counts_step else None
        if trained is None:
            return super()._get_num_items_in_batch(batches, device)  # pyright: ignore
        return torch.tensor(trained, device=device)

    def _load_from_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """Nothing: the state is restored once it is sharded."""

    def _prepare_for_training(self: Any, max_steps: int, loader: Any, resume: str | None) -> Any:
        prepared = super()._prepare_for_training(max_steps, loader, None)  # pyright: ignore
        self.restore_prepared()
        return prepared

    def _load_rng_state(self, checkpoint: str | None) -> None:
        self.restore_generators(checkpoint)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.save_now()


def not_logged(trainer: Any) -> dict[str, Any]:
    """The losses that the Trainer has summed since its last log, for a checkpoint."""
    return {
        "loss": float(trainer._tr_loss),
        "total": trainer._total_loss_scalar,
        "step": trainer._globalstep_last_logged,
    }


def restore_not_logged(trainer: Any, *, loss: float, total: float, step: int) -> None:
    """Sets these sums."""
    trainer._tr_loss.fill_(loss)
    trainer._total_loss_scalar, trainer._globalstep_last_logged = total, step


def seen_tokens(trainer: Any) -> int:
    """Tokens that trl's trainer has counted; 0 for one that counts none."""
    return int(getattr(trainer, "_total_train_tokens", 0))


def set_seen_tokens(trainer: Any, tokens: int) -> None:
    """Sets the number of tokens that trl's trainer has counted."""
    trainer._total_train_tokens = tokens
