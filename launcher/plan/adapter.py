"""What a LoRA adapter trains, counted from the model's shape alone."""

import math
import re

from launcher.config import ArchitectureConfig
from launcher.errors import PlanError, unknown
from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.blocks import Block, blocks_of, in_all_linear, is_router
from launcher.plan.model import block_norm_names, count_lora, expert_adapters, linear_shapes, stacked_ranks

EMBEDDING, HEAD = "embed_tokens", "lm_head"
OF_MLP = frozenset({"gate_proj", "up_proj", "down_proj", "gate_up_proj", "w1", "w2", "w3"})
"""Names of the linear layers of an MLP, and of an expert in checkpoints of Mixtral."""


@frozen_dataclass
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
    """Names of parameters outside of layers that are adapted as well."""
    router: bool = False
    """Whether the routers of a mixture of experts are adapted."""
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
    found: list[tuple[tuple[int, ...], int]] = []
    for block in blocks_of(shape):
        for (path, rank), count in adapted_layers(shape, block, adapter).items():
            rows, columns = block.linears[path]
            found += [((rank, rows), count), ((columns, rank), count)]
            if adapter.dora:
                found.append(((columns,), count))
            if adapter.bias == "lora_only" and f"{path}.bias" in block.others:
                found.append(((columns,), count))
        if adapter.bias == "all":
            found += [(dims, block.count) for dims in _biases(block)]
        found += expert_adapters(block, _parameter_ranks(shape, adapter))
    return found + _whole(shape, adapter)


def adapted_layers(shape: ArchitectureConfig, block: Block, adapter: Adapter) -> dict[tuple[str, int], int]:
    """(layer's path, rank) -> the number of these blocks in which that layer has an adapter of that rank.

    A name of exclude_modules or rank_pattern is the end of a layer's name, as peft compares them.
    Source: peft 0.21, tuners_utils.py, check_target_module_exists, and utils/other.py, get_pattern_key.
    """
    found: dict[tuple[str, int], int] = {}
    targeted = [path for path in block.linears if _is_targeted(shape, path, adapter)]
    outside = () if adapter.layers is not None else (None,)
    for layer in block.layers or outside:
        if adapter.layers is not None and layer not in adapter.layers:
            continue
        for inner in targeted:
            path = inner if layer is None else f"model.layers.{layer}.{inner}"
            if any(path == one or path.endswith(f".{one}") for one in adapter.exclude):
                continue
            own = [rank for pattern, rank in adapter.ranks if re.fullmatch(rf"(.*\.)?({pattern})", path)]
            key = (inner, own[0] if own else adapter.r)
            found[key] = found.get(key, 0) + 1
    return found


def adapts(shape: ArchitectureConfig, block: Block, adapter: Adapter) -> list[str]:
    """Paths of the linear layers of these blocks that have an adapter, in any of them."""
    return list(dict.fromkeys(path for path, _ in adapted_layers(shape, block, adapter)))


def _is_targeted(shape: ArchitectureConfig, path: str, adapter: Adapter) -> bool:
    if adapter.router and is_router(path):
        return True
    if adapter.target_modules == "all-linear":
        return in_all_linear(shape, path)
    targets = adapter.targets
    return path.rpartition(".")[2] in ([targets] if isinstance(targets, str) else targets)


def _parameter_ranks(shape: ArchitectureConfig, adapter: Adapter) -> dict[str, int]:
    """Name of a parameter -> the rank of its adapter. all-linear adapts all experts, and the option `router` the routers.

    Source: peft 0.21's lora/layer.py, ParamWrapper.
    """
    ranks = dict.fromkeys(adapter.parameters, adapter.r)
    if adapter.router:
        ranks |= dict.fromkeys(router_names(shape), adapter.r)
    if not shape.num_experts or adapter.target_modules != "all-linear":
        return ranks
    return {**stacked_ranks(adapter.r), **ranks}


def parameter_names(shape: ArchitectureConfig) -> tuple[str, ...]:
    """Names of the parameters of blocks that are outside of layers: stacked experts and routers; none in a dense model."""
    found = dict[str, None]()
    for block in blocks_of(shape):
        for path, dims in block.others.items():
            if len(dims) == 3 or (is_router(path) and len(dims) == 2):
                found[".".join(path.split(".")[-2:])] = None
    return tuple(found)


def router_names(shape: ArchitectureConfig) -> tuple[str, ...]:
    """Names of the routers' weights that are parameters outside of layers."""
    return tuple(name for name in parameter_names(shape) if is_router(name) and name.endswith(".weight"))


def count_adapter(shape: ArchitectureConfig, adapter: Adapter, *, key: str = "plugins.lora") -> int:
    """Number of trained parameters; PlanError names the option under `key` that this model does not support."""
    _check_experts(shape, adapter, key)
    count_lora(shape, adapter.r, adapter.targets, key=key)  # refuses unknown layers
    _check_blocks(shape, adapter, key)
    _check_names(shape, adapter, key)
    norms = block_norm_names(shape)
    for name in adapter.modules_to_save:
        if name not in (EMBEDDING, HEAD, *norms):
            raise PlanError(f"{key}.modules_to_save: {unknown('module', name, (EMBEDDING, HEAD, *norms))}")
    if adapter.bias != "none" and not any(_biases(block) for block in blocks_of(shape)):
        raise PlanError(
            f"{key}.bias={adapter.bias} would train nothing: {shape.model_type} has no biases; use {key}.bias=none"
        )
    return sum(math.prod(dims) * count for dims, count in trained_tensors(shape, adapter))


def _check_experts(shape: ArchitectureConfig, adapter: Adapter, key: str) -> None:
    """PlanError for a name of an MLP's layer in a model that has stacked experts instead: it would adapt no expert."""
    targets = [] if adapter.target_modules == "all-linear" else list(adapter.targets)
    absent = [name for name in targets if name in OF_MLP and name not in linear_shapes(shape)]
    if not shape.num_experts or not absent:
        return
    stacked = [name for name in parameter_names(shape) if not is_router(name)]
    others = ",".join(name for name in targets if name not in OF_MLP) or "q_proj,k_proj,v_proj,o_proj"
    raise PlanError(
        f"{key}.target_modules: {', '.join(absent)} would adapt no expert, because {shape.model_type} has its "
        f"{shape.num_experts} experts in parameters of each block, not in layers; use {key}.target_modules=all-linear, or "
        f"{key}.target_modules=[{others}] with {key}.target_parameters=[{','.join(stacked)}]"
    )


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
    if adapter.router and not shape.num_experts:
        raise PlanError(
            f"{key}.router=true: {shape.model_type} has no experts, and so no router; take it out"
        )
    known = parameter_names(shape)
    for name in adapter.parameters:
        if name not in known:
            why = (
                unknown("parameter", name, known)
                if known
                else f"{shape.model_type} has no experts, and only layers"
            )
            raise PlanError(f"{key}.target_parameters={name}: {why}")
    blocks = blocks_of(shape)
    paths = [
        f"model.layers.{layer}.{path}" for block in blocks for layer in block.layers for path in block.linears
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
    ranks = _parameter_ranks(shape, adapter)
    if not any(adapted_layers(shape, one, adapter) or expert_adapters(one, ranks) for one in blocks):
        raise PlanError(f"{key}.exclude_modules leaves no layer to adapt; name fewer layers")


def _biases(block: Block) -> list[tuple[int, ...]]:
    """Dimensions of the biases of these blocks, by peft's rule: parameters with `bias` in their name."""
    return [dims for path, dims in block.others.items() if "bias" in path]


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
    """The number of tables with trained rows: the embedding, and the head unless tied to it. One that is trained whole does not
    count."""
    if not adapter.tokens:
        return 0
    whole = trains_embedding(shape, adapter), trains_head(shape, adapter)
    return int(not whole[0]) + int(not whole[1] and not shape.tie_word_embeddings)


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
    return found + [((norms[name][0],), norms[name][1]) for name in adapter.modules_to_save if name in norms]
