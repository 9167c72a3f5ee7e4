"""Computes a model's head only at chosen positions, because no loss reads the logits of the other tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from launcher.data.mask import IGNORED


def trained_positions(targets: torch.Tensor) -> torch.Tensor:
    """The positions of the flattened batch whose target is trained, from its flattened targets.

    If there is none, the first position is returned, so that the backward pass has a graph. Its target is ignored, so its loss
    is 0.
    """
    where = (targets != IGNORED).nonzero().flatten()
    return where if len(where) else torch.zeros(1, dtype=torch.int64, device=targets.device)


class KeptPositions:
    """A hook before the head of a model. Outside of `only` the head computes all positions."""

    def __init__(self, model: Any) -> None:
        self._kept: torch.Tensor | None = None
        model.get_output_embeddings().register_forward_pre_hook(self._cut)

    @contextmanager
    def only(self, kept: torch.Tensor) -> Iterator[None]:
        """Within it the head computes these positions of the flattened batch: logits are [1, kept, vocabulary]."""
        self._kept = kept
        try:
            yield
        finally:
            self._kept = None

    def _cut(self, module: Any, arguments: Any) -> Any:
        if self._kept is None:
            return None
        return (arguments[0].flatten(0, 1)[self._kept][None], *arguments[1:])
