"""MLPs that compute their tokens in tiles, one after another, and compute each tile again in the backward pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from launcher.errors import ConfigError
from launcher.train.upstream.transformers_model_facts import block_names


def tile_mlps(model: Any, tokens: int) -> None:
    """Lets the MLP of every block compute at most this many tokens at once; ConfigError for a model without such MLPs.

    An MLP treats each token by itself, so tiles change only the order in which the gradients of its weights are added.
    Each tile is checkpointed: only the MLP's input is kept. Autograd adds the tiles' gradients of a weight before it hands them
    on, so that DDP, FSDP2 and DeepSpeed see one gradient for each weight.
    Source: Bekman et al., Arctic Long Sequence Training (arXiv 2506.13996), section 3.1 (TiledMLP).
    """
    blocks = block_names(model)
    found = [
        child
        for module in model.modules()
        if type(module).__name__ in blocks
        for name, child in module.named_children()
        if name == "mlp"
    ]
    if not found:
        kind = getattr(model.config, "model_type", type(model).__name__)
        raise ConfigError(
            f"trainer.mlp_tile_tokens={tokens} does not work with {kind}, whose blocks have no layer named mlp; use "
            "trainer.mlp_tile_tokens=null"
        )
    for mlp in found:
        mlp.forward = _tiled(mlp.forward, tokens)


def _tiled(
    forward: Callable[[torch.Tensor], torch.Tensor], tokens: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    def tiled(hidden_states: torch.Tensor) -> torch.Tensor:
        flat = hidden_states.flatten(0, -2)
        if len(flat) <= tokens:
            return forward(hidden_states)
        keeps = torch.is_grad_enabled()
        parts = [
            checkpoint(forward, tile, use_reentrant=False) if keeps else forward(tile)
            for tile in flat.split(tokens)
        ]
        return torch.cat(parts).view_as(hidden_states)

    return tiled
