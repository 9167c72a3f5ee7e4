"""What a LoRA adapter trains, counted from the model's shape alone."""

import math
from dataclasses import dataclass

from launcher.config import ArchitectureConfig
from launcher.errors import PlanError, unknown
from launcher.plan.model import adapter_tensors, block_norm_names, count_lora, linear_shapes

EMBEDDING, HEAD = "embed_tokens", "lm_head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """The LoRA adapter of a run, as the counts and the memory estimate need it."""

    r: int
    """Rank of the two matrices."""
    target_modules: tuple[str, ...] | str
    """Names of the linear layers that are adapted, or all-linear."""
    four_bit: bool
    """Whether the base model's weights are kept in 4 bits."""
    double_quant: bool
    """Whether the scales of 4-bit weights are quantised as well."""
    dropout: bool = False
    """Whether the adapter has dropout: its mask is then kept for the backward pass."""
    dora: bool = False
    """Whether each adapted layer has a trained magnitude for each of its outputs (DoRA)."""
    bias: str = "none"
    """none, lora_only or all: which biases of the model are trained."""
    layers: tuple[int, ...] | None = None
    """Indices of the blocks that are adapted; None means all."""
    modules_to_save: tuple[str, ...] = ()
    """Modules that are trained whole, in addition to the adapter."""

    @property
    def targets(self) -> str | list[str]:
        """The target modules in the form that count_lora takes."""
        return self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)


def trained_tensors(shape: ArchitectureConfig, adapter: Adapter) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of every trained tensor: A and B of each layer, DoRA's magnitudes, biases, whole modules.

    Source: peft 0.21's lora/layer.py, lora/dora.py and utils/other.py. tests/training/test_adapter_counts.py compares the
    counts with peft's on the meta device.
    """
    every, linears, names = shape.num_hidden_layers, linear_shapes(shape), _targeted(shape, adapter)
    blocks = every if adapter.layers is None else len(adapter.layers)
    listed = adapter_tensors(shape, adapter.r, adapter.targets)
    found: list[tuple[tuple[int, ...], int]] = [(dims, count // every * blocks) for dims, count in listed]
    if adapter.dora:
        found += [((linears[name][1],), blocks) for name in names]
    if adapter.bias == "all":
        found += [((linears[name][1],), every) for name in biased(shape)]
    elif adapter.bias == "lora_only":
        found += [((linears[name][1],), blocks) for name in biased(shape) if name in names]
    return found + _whole(shape, adapter)


def count_adapter(shape: ArchitectureConfig, adapter: Adapter, *, key: str = "plugins.lora") -> int:
    """Number of trained parameters; PlanError names the option under `key` that this model does not support."""
    count_lora(shape, adapter.r, adapter.targets, key=key)  # refuses unknown layers
    _check_blocks(shape, adapter, key)
    norms = block_norm_names(shape)
    for name in adapter.modules_to_save:
        if name not in (EMBEDDING, HEAD, *norms):
            raise PlanError(f"{key}.modules_to_save: {unknown('module', name, (EMBEDDING, HEAD, *norms))}")
    if adapter.bias != "none" and not biased(shape):
        raise PlanError(
            f"{key}.bias={adapter.bias} would train nothing: {shape.model_type} has no biases; use {key}.bias=none"
        )
    return sum(math.prod(dims) * count for dims, count in trained_tensors(shape, adapter))


def _check_blocks(shape: ArchitectureConfig, adapter: Adapter, key: str) -> None:
    every = shape.num_hidden_layers
    for number in adapter.layers or ():
        if not 0 <= number < every:
            raise PlanError(
                f"{key}.layers_to_transform={number} is not a block; the {every} blocks are 0 to {every - 1}"
            )
    experts = bool(shape.num_experts) and adapter.target_modules == "all-linear"
    if experts and (adapter.dora or adapter.layers is not None):
        option = "use_dora=true" if adapter.dora else "layers_to_transform"
        raise PlanError(
            f"{key}.{option} does not work on experts, which are stacked in one parameter; set "
            f"{key}.target_modules=[q_proj,k_proj,v_proj,o_proj]"
        )


def biased(shape: ArchitectureConfig) -> tuple[str, ...]:
    """Names of a block's linear layers that have a bias."""
    if not shape.attention_bias:
        return ()
    return ("q_proj", "k_proj", "v_proj") if shape.model_type == "qwen2" else tuple(linear_shapes(shape))[:4]


def trains_embedding(shape: ArchitectureConfig, adapter: Adapter | None) -> bool:
    """Whether the embedding gets a gradient: in a full fine-tune, or if modules_to_save names it or a head tied to it."""
    if adapter is None or EMBEDDING in adapter.modules_to_save:
        return True
    return shape.tie_word_embeddings and HEAD in adapter.modules_to_save


def trains_head(shape: ArchitectureConfig, adapter: Adapter | None) -> bool:
    """Whether the head gets a gradient: in a full fine-tune, or if modules_to_save names it or an embedding tied to it."""
    if adapter is None or HEAD in adapter.modules_to_save:
        return True
    return shape.tie_word_embeddings and EMBEDDING in adapter.modules_to_save


def _targeted(shape: ArchitectureConfig, adapter: Adapter) -> list[str]:
    targets = adapter.targets
    if targets == "all-linear":
        return list(linear_shapes(shape))
    return [targets] if isinstance(targets, str) else targets


def _whole(shape: ArchitectureConfig, adapter: Adapter) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of the modules that are trained whole; a tied embedding and head count once."""
    tables = sum((trains_embedding(shape, adapter), trains_head(shape, adapter)))
    tables = min(tables, 1) if shape.tie_word_embeddings else tables
    found: list[tuple[tuple[int, ...], int]] = []
    if tables:
        found.append(((shape.vocab_size, shape.hidden_size), tables))
    norms = block_norm_names(shape)
    return found + [
        ((norms[name],), shape.num_hidden_layers) for name in adapter.modules_to_save if name in norms
    ]
