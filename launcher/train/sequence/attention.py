"""Attention over sequences that several ranks share (Ulysses): each rank computes some heads of all tokens.

Before attention the ranks exchange their heads for the others' tokens, and after it the other way round. Everything else of a
block works on single tokens. Source: Jacobs et al., DeepSpeed Ulysses (arXiv 2309.14509), section 3.
"""

import inspect
from typing import Any

import torch
import torch.distributed as dist
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from launcher.errors import ConfigError
from launcher.train.sequence.peers import Peers
from launcher.train.upstream.transformers_model_facts import attention_of

_NOT_EXCHANGED = ("sliding_window", "s_aux", "softcap", "position_bias")
"""Options of attention functions that hold for single heads or for a window of tokens."""
_BY_LENGTH = ("dynamic", "longrope")
"""Types of rotary embeddings whose frequencies depend on the highest position in a batch, which differs between the parts."""


class _Exchange(torch.autograd.Function):
    """Sends part i of the first dimension to peer i, and returns what the peers have sent, in their order."""

    @staticmethod
    def forward(ctx: Any, parts: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        received = torch.empty_like(parts)
        dist.all_to_all_single(received, parts, group=group)
        return received

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return _Exchange.apply(gradients[0].contiguous(), ctx.group), None


def gather_tokens(states: torch.Tensor, peers: Peers) -> torch.Tensor:
    """This rank's heads of all tokens, [rows, heads / size, tokens, width], from all heads of its own tokens,
    [rows, heads, tokens / size, width]. Fewer heads than ranks are repeated first."""
    if states.shape[1] < peers.size:
        states = states.repeat_interleave(peers.size // states.shape[1], dim=1)
    rows, heads, tokens, width = states.shape
    parts = states.reshape(rows, peers.size, heads // peers.size, tokens, width).transpose(0, 1)
    found = _Exchange.apply(parts.contiguous(), peers.group)
    return found.permute(1, 2, 0, 3, 4).reshape(rows, heads // peers.size, peers.size * tokens, width)


def gather_heads(states: torch.Tensor, peers: Peers) -> torch.Tensor:
    """All heads of this rank's tokens, [rows, tokens / size, heads, width], from its heads of all tokens,
    [rows, tokens, heads / size, width]."""
    rows, tokens, heads, width = states.shape
    parts = states.reshape(rows, peers.size, tokens // peers.size, heads, width).transpose(0, 1)
    found = _Exchange.apply(parts.contiguous(), peers.group)
    return found.permute(1, 2, 0, 3, 4).reshape(rows, tokens // peers.size, peers.size * heads, width)


def exchange_in_attention(model: Any, peers: Peers) -> None:
    """Makes the model's attention exchange heads for tokens while `peers.exchanging`; ConfigError for a model in which tokens
    of different parts would not attend to each other correctly."""
    check_shareable(model, peers.size)
    name = attention_of(model)
    plain = ALL_ATTENTION_FUNCTIONS[name]

    def attend(
        module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *rest: Any, **options: Any
    ) -> Any:
        if not peers.exchanging:
            return plain(module, query, key, value, attention_mask, *rest, **options)
        _check_call(query.shape[2] * peers.size, attention_mask, options)
        peers.calls += 1
        # positions of this part alone; kernels that need the lengths of documents get these in other options
        options.pop("position_ids", None)
        states = [gather_tokens(one, peers) for one in (query, key, value)]
        with _grouped(module, states[0].shape[1] // states[1].shape[1]):
            found, weights = plain(module, *states, attention_mask, *rest, **options)
        return gather_heads(found, peers), weights

    ALL_ATTENTION_FUNCTIONS.register(name, attend)


def check_shareable(model: Any, size: int) -> None:
    """ConfigError for a model whose sequences cannot be shared by `size` ranks."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = base.config.get_text_config()
    heads, keys = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
    keys = keys or heads
    others = sorted(set(getattr(config, "layer_types", None) or []) - {"full_attention"})
    ropes = sorted(_rope_types(config) & set(_BY_LENGTH))
    kernel = attention_of(model)
    if heads % size or (keys % size and size % keys):
        why = f"it has {heads} attention heads and {keys} key-value heads, which {size} ranks cannot share equally"
    elif others:
        why = f"it has layers of {', '.join(others)}, which need the tokens of other ranks outside of full attention"
    elif ropes:
        why = f"its rotary embeddings (rope_type {ropes[0]}) depend on the length of a whole row"
    elif kernel != "sdpa" and not kernel.startswith("flash_attention"):
        why = f"its attention (model.attn_implementation={kernel}) is neither sdpa nor flash attention"
    elif "position_ids" not in inspect.signature(type(base).forward).parameters:
        why = "it takes no position_ids, which tell a rank where its part begins"
    else:
        return
    raise ConfigError(
        f"strategy.sequence_parallel_size={size} does not work with {config.model_type}: {why}; use "
        "strategy.sequence_parallel_size=1"
    )


def check_layers(model: Any, peers: Peers) -> None:
    """ConfigError if not every layer of the last forward pass has exchanged its heads: such a layer has seen only a part of the
    tokens."""
    config = model.config.get_text_config()
    if peers.calls != config.num_hidden_layers:
        raise ConfigError(
            f"strategy.sequence_parallel_size={peers.size} does not work with {config.model_type}: {peers.calls} of its "
            f"{config.num_hidden_layers} layers use transformers' attention functions, in which ranks exchange tokens; use "
            "strategy.sequence_parallel_size=1"
        )


def _check_call(tokens: int, mask: Any, options: dict[str, Any]) -> None:
    """ConfigError for a mask that the model has made from a part of the tokens, and for options of single heads."""
    wrong = next((name for name in _NOT_EXCHANGED if options.get(name) is not None), None)
    if wrong is None and (mask is None or tuple(mask.shape[-2:]) == (tokens, tokens)):
        return
    raise ConfigError(
        f"strategy.sequence_parallel_size does not work with this model: its attention uses {wrong or 'a mask of its own'}, "
        "which holds for a part of the tokens or of the heads; use strategy.sequence_parallel_size=1"
    )


class _grouped:
    """The context in which a layer has this number of query heads for each key-value head."""

    def __init__(self, module: Any, groups: int) -> None:
        self.module, self.groups = module, groups
        self.before = getattr(module, "num_key_value_groups", None)

    def __enter__(self) -> None:
        if self.before is not None:
            self.module.num_key_value_groups = self.groups

    def __exit__(self, *error: Any) -> None:
        if self.before is not None:
            self.module.num_key_value_groups = self.before


def _rope_types(config: Any) -> set[str]:
    """Types of the model's rotary embeddings; a model can have one for each kind of layer."""
    values = getattr(config, "rope_parameters", None) or {}
    kinds = [one for one in values.values() if isinstance(one, dict)] or [values]
    return {str(one.get("rope_type", "default")) for one in kinds}
