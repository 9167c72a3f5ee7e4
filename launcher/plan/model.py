"""Counts of a model's parameters, from its config alone."""

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast, get_type_hints

from launcher.config import ArchitectureConfig, BlockConfig
from launcher.errors import PlanError, unknown
from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.blocks import (
    GEMMA,
    KNOWN,
    SINKS,
    Block,
    blocks_of,
    in_all_linear,
    is_expert,
    is_norm,
    is_router,
)
from launcher.run.record import is_kind

_MOST, _MOST_LAYERS = 1 << 31, 10_000
"""Sizes of a model must be smaller; real ones have at most 10^9 elements in a dimension, and some hundred blocks."""


@frozen_dataclass
class ModelFacts:
    """The planned model; its counts are None if its shape is not known before the download."""

    name_or_path: str
    """A hub's id, or a folder."""
    revision: str | None
    """Commit, branch or tag on the hub; None for the newest."""
    parameters: int | None
    """Number of parameters; None if the model's shape is not known."""
    trainable_parameters: int | None
    """Number of those that are trained; None as for parameters."""


def read_architecture(config_json: Mapping[str, Any]) -> ArchitectureConfig | None:
    """The shape in a Hugging Face config.json; None if the planner has no rule for its model_type."""
    try:
        model_type = str(config_json["model_type"])
        heads = int(config_json["num_attention_heads"])
        sizes = (
            heads,
            *(int(config_json[key]) for key in ("hidden_size", "num_hidden_layers", "vocab_size")),
        )
        if min(sizes) < 1:
            return None
        if model_type not in KNOWN or config_json.get("mlp_bias"):
            return None
        if config_json.get("mlp_only_layers") or config_json.get("decoder_sparse_step", 1) != 1:
            return None  # models with experts in only some blocks are not counted
        experts = config_json.get("num_local_experts") or config_json.get("num_experts")
        moe_width = config_json.get("moe_intermediate_size") if experts else None
        tied = model_type in (*GEMMA, "smollm3")
        biased = model_type in ("qwen2", *SINKS)
        visited = config_json.get("num_experts_per_tok") or config_json.get("experts_per_token")
        window, full = read_windows(config_json)
        shape = ArchitectureConfig(
            model_type=model_type,
            hidden_size=int(config_json["hidden_size"]),
            intermediate_size=int(moe_width or config_json["intermediate_size"]),
            num_hidden_layers=int(config_json["num_hidden_layers"]),
            num_attention_heads=heads,
            num_key_value_heads=int(config_json.get("num_key_value_heads") or heads),
            head_dim=config_json.get("head_dim"),
            vocab_size=int(config_json["vocab_size"]),
            tie_word_embeddings=bool(config_json.get("tie_word_embeddings", tied)),
            attention_bias=bool(config_json.get("attention_bias", biased)),
            num_experts=int(experts) if experts else None,
            num_experts_per_tok=int(visited or 2) if experts else None,
            sliding_window=window,
            full_attention_layers=full,
        )
        check_shape(shape)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return shape


def shape_from(values: Mapping[str, Any]) -> ArchitectureConfig:
    """The shape in the JSON values that plan.json and the cache have of it; TypeError or ValueError for others."""
    named: dict[str, Any] = {**values}
    named["blocks"] = [BlockConfig(**one) for one in named.get("blocks") or ()] or None
    shape = ArchitectureConfig(**named)
    check_shape(shape)
    return shape


def check_shape(shape: ArchitectureConfig) -> None:
    """TypeError for a value of another type than its key, ValueError for a size that no model has."""
    for one in (shape, *(shape.blocks or ())):
        values = vars(one)
        if wrong := [name for name, kind in _hints(type(one)).items() if not is_kind(values[name], kind)]:
            raise TypeError(f"{wrong[0]} is {values[wrong[0]]!r}")
        if wrong := [name for name, value in values.items() if type(value) is int and not 0 <= value < _MOST]:
            raise ValueError(f"{wrong[0]} is {values[wrong[0]]}")
    if shape.num_hidden_layers > _MOST_LAYERS:
        raise ValueError(f"num_hidden_layers is {shape.num_hidden_layers}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def read_windows(config_json: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(sliding_window, full_attention_layers) in a config.json; (None, None) if every block sees the whole sequence.

    Source: transformers' configuration_gemma2.py, configuration_gemma3.py, configuration_gpt_oss.py, configuration_mistral.py,
    configuration_phi3.py and configuration_qwen2.py.
    """
    blocks, kinds = int(config_json["num_hidden_layers"]), config_json.get("layer_types")
    window = config_json.get("sliding_window")
    if isinstance(kinds, list) and kinds:
        full = sum(kind == "full_attention" for kind in cast("list[Any]", kinds))
        sliding = "sliding_attention" in kinds
        return (None, None) if full == blocks else (int(window) if sliding and window else None, full)
    model_type = config_json.get("model_type")
    used = config_json.get("use_sliding_window")
    if not window or not (not str(model_type).startswith("qwen") if used is None else used):
        return None, None
    pattern = config_json.get("sliding_window_pattern") or (6 if model_type == "gemma3_text" else 2)
    full = blocks // int(pattern) if model_type in (*GEMMA, *SINKS) else 0
    return int(window), full


def linear_shapes(shape: ArchitectureConfig) -> dict[str, tuple[int, int]]:
    """(in_features, out_features) of each linear layer of a block, by its name, in the first block that has such a layer.

    Experts are not included: transformers 5 stores them as three-dimensional parameters, which bitsandbytes does not
    quantise.
    """
    found: dict[str, tuple[int, int]] = {}
    for block in blocks_of(shape):
        for path, size in block.linears.items():
            found.setdefault(path.rpartition(".")[2], size)
    return found


def linear_layers(shape: ArchitectureConfig) -> list[tuple[int, int, int]]:
    """(in_features, out_features, count) of all linear layers of the model but its head."""
    return [(*size, block.count) for block in blocks_of(shape) for size in block.linears.values()]


@frozen_dataclass
class Parameters:
    """Number of parameters by kind, over all blocks."""

    embedding: int
    attention: int
    mlp: int
    experts: int
    """MoE experts and their routers."""
    norms: int
    """Norms, and what is of no other kind."""
    head: int
    """0 if it is tied to the embedding."""

    @property
    def total(self) -> int:
        """Number of all parameters."""
        return self.embedding + self.attention + self.mlp + self.experts + self.norms + self.head


def parameters_by_kind(shape: ArchitectureConfig) -> Parameters:
    """Parameters of a decoder by kind.

    Embedding and head have vocab_size * hidden_size parameters each (counted once if tied). A block has its linear layers,
    biases, norms and attention sinks. With experts it has their matrices and a router row per expert instead of the MLP, or
    beside it. tests/training/test_model_counts.py compares the counts with transformers' models on the meta device.
    """
    sums: dict[str, int] = dict.fromkeys(("attention", "mlp", "experts", "norms"), 0)
    for block in blocks_of(shape):
        for path, size in block.linears.items():
            sums[_kind(path)] += block.count * size[0] * size[1]
        for path, dims in block.others.items():
            kind = "norms" if is_norm(path, dims) or not block.layers else _kind(path)
            sums[kind] += block.count * math.prod(dims)
    table = shape.vocab_size * shape.hidden_size
    return Parameters(embedding=table, head=0 if shape.tie_word_embeddings else table, **sums)


def _kind(path: str) -> str:
    if is_expert(path) or is_router(path):
        return "experts"
    if "attn" in path or "attention" in path:
        return "attention"
    return "mlp" if "." in path else "norms"


def block_norm_names(shape: ArchitectureConfig) -> dict[str, tuple[int, int]]:
    """Norm's name -> (its width, the number of blocks that have it)."""
    found: dict[str, tuple[int, int]] = {}
    for block in blocks_of(shape):
        for path, dims in block.others.items() if block.layers else ():
            if is_norm(path, dims):
                name = path.rpartition(".")[2]
                found[name] = (dims[0], found.get(name, (0, 0))[1] + block.count)
    return found


def block_norms(shape: ArchitectureConfig) -> list[int]:
    """Widths of a block's norms."""
    return [width for width, _ in block_norm_names(shape).values()]


def model_tensors(shape: ArchitectureConfig) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of every weight of the model, in torch's order of dimensions; the sum is that of parameters_by_kind."""
    tables = 1 if shape.tie_word_embeddings else 2
    found: list[tuple[tuple[int, ...], int]] = [((shape.vocab_size, shape.hidden_size), tables)]
    for block in blocks_of(shape):
        found += [((columns, rows), block.count) for rows, columns in block.linears.values()]
        found += [(dims, block.count) for dims in block.others.values()]
    return found


def count_parameters(shape: ArchitectureConfig) -> int:
    """Number of parameters of a decoder."""
    return parameters_by_kind(shape).total


def count_linear(shape: ArchitectureConfig) -> int:
    """Weights of all linear layers within blocks, which bitsandbytes quantises. It does not quantise the head."""
    return sum(rows * columns * count for rows, columns, count in linear_layers(shape))


def adapter_tensors(
    shape: ArchitectureConfig, r: int, target_modules: str | Iterable[str]
) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of an adapter's weights; the sum is count_lora."""
    every = target_modules == "all-linear"
    names = [] if every else [target_modules] if isinstance(target_modules, str) else list(target_modules)
    found: list[tuple[tuple[int, ...], int]] = []
    for block in blocks_of(shape):
        for path, (rows, columns) in block.linears.items():
            if in_all_linear(shape, path) if every else path.rpartition(".")[2] in names:
                found += [((r, rows), block.count), ((columns, r), block.count)]
        if every:
            found += expert_adapters(block, stacked_ranks(r))
    return found


def count_lora(
    shape: ArchitectureConfig, r: int, target_modules: str | Iterable[str], *, key: str = "plugins.lora"
) -> int:
    """Number of LoRA parameters: r * (in_features + out_features) for each adapted layer.

    `target_modules` is all-linear or names of linear layers; PlanError for a name that no block has.
    Source: Hu et al., LoRA (arXiv 2106.09685), section 4.1.
    """
    linears = linear_shapes(shape)
    if target_modules != "all-linear":
        for name in [target_modules] if isinstance(target_modules, str) else target_modules:
            if name not in linears:
                raise PlanError(f"{key}.target_modules: {unknown('layer', name, linears)} Or use all-linear.")
    return sum(math.prod(dims) * count for dims, count in adapter_tensors(shape, r, target_modules))


def stacked_ranks(r: int) -> dict[str, int]:
    """Ends of the names of the parameters that hold all experts of a block -> their rank with all-linear. The first is two
    fused layers, and gets twice the rank."""
    return {"experts.gate_up_proj": 2 * r, "experts.down_proj": r}


def expert_adapters(block: Block, ranks: Mapping[str, int]) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of the adapters on those of a block's parameters whose names end with a key of `ranks`: end -> rank.

    Source: peft 0.21's lora/layer.py, ParamWrapper, and its conversion of Mixtral's targets;
    tests/training/test_adapter_counts.py compares the counts with peft's.
    """
    found: list[tuple[tuple[int, ...], int]] = []
    for path, dims in block.others.items():
        name = next((one for one in ranks if f".{path}".endswith(f".{one}")), None)
        if name is not None and len(dims) >= 2:
            number, columns, rows = dims if len(dims) == 3 else (1, *dims)
            wide = ranks[name] * number
            found += [((wide, rows), block.count), ((columns, wide), block.count)]
    return found
