"""What a LoRA adapter trains, counted from the model's shape alone."""

import math
import re
from dataclasses import dataclass

from launcher.config import ArchitectureConfig
from launcher.errors import PlanError, unknown
from launcher.plan.model import block_norm_names, count_lora, linear_shapes

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
    exclude: tuple[str, ...] = ()
    """Names of layers that are not adapted."""
    parameters: tuple[str, ...] = ()
    """Names of parameters that are adapted beside the layers."""
    ranks: tuple[tuple[str, int], ...] = ()
    """(layer name, rank) where the rank is not r."""
    eight_bit: bool = False
    """Whether the frozen layers are stored in 8 bits."""
    tokens: int = 0
    """Number of tokens whose rows of the embedding and the head are trained."""

    @property
    def targets(self) -> str | list[str]:
        """The target modules in the form that count_lora takes."""
        return self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)


def trained_tensors(shape: ArchitectureConfig, adapter: Adapter) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of every trained tensor: A and B of each layer, DoRA's magnitudes, biases, whole modules.

    Source: peft 0.21's lora/layer.py, lora/dora.py and utils/other.py. tests/training/test_adapter_counts.py compares the
    counts with peft's on the meta device.
    """
    linears, every = linear_shapes(shape), shape.num_hidden_layers
    found: list[tuple[tuple[int, ...], int]] = []
    for (name, rank), blocks in adapted_layers(shape, adapter).items():
        rows, columns = linears[name]
        found += [((rank, rows), blocks), ((columns, rank), blocks)]
        if adapter.dora:
            found.append(((columns,), blocks))
        if adapter.bias == "lora_only" and name in biased(shape):
            found.append(((columns,), blocks))
    if adapter.bias == "all":
        found += [((linears[name][1],), every) for name in biased(shape)]
    return found + expert_tensors(shape, adapter) + _whole(shape, adapter)


def adapted_layers(shape: ArchitectureConfig, adapter: Adapter) -> dict[tuple[str, int], int]:
    """(layer name, rank) -> the number of blocks in which that layer has an adapter of that rank.

    A name of exclude_modules or rank_pattern is the end of a layer's name, as peft compares them.
    Source: peft 0.21, tuners_utils.py, check_target_module_exists, and utils/other.py, get_pattern_key.
    """
    blocks = range(shape.num_hidden_layers) if adapter.layers is None else adapter.layers
    found: dict[tuple[str, int], int] = {}
    for block in blocks:
        for name in _targeted(shape, adapter):
            part = "self_attn" if name[:2] in ("q_", "k_", "v_", "o_") else "mlp"
            path = f"model.layers.{block}.{part}.{name}"
            if any(path == one or path.endswith(f".{one}") for one in adapter.exclude):
                continue
            own = [rank for pattern, rank in adapter.ranks if re.fullmatch(rf"(.*\.)?({pattern})", path)]
            key = (name, own[0] if own else adapter.r)
            found[key] = found.get(key, 0) + 1
    return found


def expert_tensors(shape: ArchitectureConfig, adapter: Adapter) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of the adapters on stacked experts and on other parameters that are named.

    all-linear adapts all experts, with twice the rank on the fused gate and up projection, and never the router.
    Source: peft 0.21's lora/layer.py, ParamWrapper.
    """
    known, r = parameter_shapes(shape), adapter.r
    named = dict.fromkeys(adapter.parameters, r)
    if shape.num_experts and adapter.target_modules == "all-linear":
        named = {"experts.gate_up_proj": 2 * r, "experts.down_proj": r, **named}
    found: list[tuple[tuple[int, ...], int]] = []
    for name, rank in named.items():
        number, columns, rows = known[name]
        found += [
            ((rank * number, rows), shape.num_hidden_layers),
            ((columns, rank * number), shape.num_hidden_layers),
        ]
    return found


def parameter_shapes(shape: ArchitectureConfig) -> dict[str, tuple[int, int, int]]:
    """Name -> (experts, out, in) of the parameters of a block that are no layers of their own; empty for a dense model."""
    if not shape.num_experts:
        return {}
    experts, hidden, width = shape.num_experts, shape.hidden_size, shape.intermediate_size
    return {
        "experts.gate_up_proj": (experts, 2 * width, hidden),
        "experts.down_proj": (experts, hidden, width),
        "gate.weight": (1, experts, hidden),
    }


def count_adapter(shape: ArchitectureConfig, adapter: Adapter, *, key: str = "plugins.lora") -> int:
    """Number of trained parameters; PlanError names the option under `key` that this model does not support."""
    count_lora(shape, adapter.r, adapter.targets, key=key)  # refuses unknown layers
    _check_blocks(shape, adapter, key)
    _check_names(shape, adapter, key)
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
    experts = bool(shape.num_experts) and (adapter.target_modules == "all-linear" or bool(adapter.parameters))
    if experts and (adapter.dora or adapter.dropout or adapter.layers is not None):
        option = "use_dora=true" if adapter.dora else "dropout" if adapter.dropout else "layers_to_transform"
        raise PlanError(
            f"{key}.{option} does not work on experts, which are stacked in one parameter; set "
            f"{key}.target_modules=[q_proj,k_proj,v_proj,o_proj]"
        )


def _check_names(shape: ArchitectureConfig, adapter: Adapter, key: str) -> None:
    """PlanError for a name that no layer or parameter has, because it would silently do nothing."""
    known = parameter_shapes(shape)
    for name in adapter.parameters:
        if name not in known:
            why = (
                unknown("parameter", name, known)
                if known
                else f"{shape.model_type} has no experts, and only layers"
            )
            raise PlanError(f"{key}.target_parameters={name}: {why}")
    paths = [
        f"model.layers.{block}.{part}.{name}"
        for block in range(shape.num_hidden_layers)
        for name in linear_shapes(shape)
        for part in ("self_attn", "mlp")
    ]
    for name in adapter.exclude:
        if not any(path.endswith(f".{name}") or path == name for path in paths) and name != HEAD:
            raise PlanError(f"{key}.exclude_modules: {unknown('layer', name, linear_shapes(shape))}")
    for name, _ in adapter.ranks:
        try:
            matches = any(re.fullmatch(rf"(.*\.)?({name})", path) for path in paths)
        except re.error as error:
            raise PlanError(
                f"{key}.rank_pattern: {name} cannot be read ({error}); give a layer name"
            ) from None
        if not matches:
            raise PlanError(f"{key}.rank_pattern: {unknown('layer', name, linear_shapes(shape))}")
    if not adapted_layers(shape, adapter) and not expert_tensors(shape, adapter):
        raise PlanError(f"{key}.exclude_modules leaves no layer to adapt; name fewer layers")


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


def token_tables(shape: ArchitectureConfig, adapter: Adapter) -> int:
    """The number of tables with trained rows: the embedding, and the head unless tied to it; none that is trained whole."""
    if not adapter.tokens:
        return 0
    whole = trains_embedding(shape, adapter), trains_head(shape, adapter)
    return int(not whole[0]) + int(not whole[1] and not shape.tie_word_embeddings)


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
    if rows := token_tables(shape, adapter):
        found.append(((adapter.tokens, shape.hidden_size), rows))
    norms = block_norm_names(shape)
    return found + [
        ((norms[name],), shape.num_hidden_layers) for name in adapter.modules_to_save if name in norms
    ]
