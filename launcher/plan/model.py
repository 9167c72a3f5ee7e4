"""Counts of a model's parameters, from its config alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from launcher.config import ArchitectureConfig
from launcher.errors import PlanError, unknown

_PLAIN = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe")
_GEMMA = ("gemma", "gemma2", "gemma3_text")  # their head is tied where config.json does not say


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """The shape in a Hugging Face config.json; None if it is not a Llama-class decoder."""
    try:
        model_type = str(config_json["model_type"])
        heads = int(config_json["num_attention_heads"])
        if model_type not in (*_PLAIN, *_GEMMA):
            return None
        if config_json.get("mlp_only_layers") or config_json.get("decoder_sparse_step", 1) != 1:
            return None  # models with experts in only some blocks are not counted
        experts = config_json.get("num_local_experts") or config_json.get("num_experts")
        moe_width = config_json.get("moe_intermediate_size") if experts else None
        return ArchitectureConfig(
            model_type=model_type,
            hidden_size=int(config_json["hidden_size"]),
            intermediate_size=int(moe_width or config_json["intermediate_size"]),
            num_hidden_layers=int(config_json["num_hidden_layers"]),
            num_attention_heads=heads,
            num_key_value_heads=int(config_json.get("num_key_value_heads") or heads),
            head_dim=config_json.get("head_dim"),
            vocab_size=int(config_json["vocab_size"]),
            tie_word_embeddings=bool(config_json.get("tie_word_embeddings", model_type in _GEMMA)),
            attention_bias=bool(config_json.get("attention_bias", model_type == "qwen2")),
            num_experts=int(experts) if experts else None,
            num_experts_per_tok=int(config_json.get("num_experts_per_tok") or 2) if experts else None,
        )
    except (KeyError, TypeError, ValueError):
        return None


def head_dim(shape: ArchitectureConfig) -> int:
    """Width of one attention head."""
    return shape.head_dim or shape.hidden_size // shape.num_attention_heads


def linear_shapes(shape: ArchitectureConfig) -> dict[str, tuple[int, int]]:
    """(in_features, out_features) of each linear layer of one decoder block, by its name.

    Experts are not included: transformers 5 stores them as three-dimensional parameters, which bitsandbytes does not
    quantise. Source: transformers' modeling_llama.py and modeling_mixtral.py.
    """
    queries = shape.num_attention_heads * head_dim(shape)
    keys = shape.num_key_value_heads * head_dim(shape)
    attention = {
        "q_proj": (shape.hidden_size, queries),
        "k_proj": (shape.hidden_size, keys),
        "v_proj": (shape.hidden_size, keys),
        "o_proj": (queries, shape.hidden_size),
    }
    if shape.num_experts:
        return attention
    return attention | {
        "gate_proj": (shape.hidden_size, shape.intermediate_size),
        "up_proj": (shape.hidden_size, shape.intermediate_size),
        "down_proj": (shape.intermediate_size, shape.hidden_size),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Number of parameters by kind, over all blocks."""

    embedding: int
    attention: int
    mlp: int
    experts: int
    """MoE experts and their routers."""
    norms: int
    head: int
    """0 if it is tied to the embedding."""

    @property
    def total(self) -> int:
        """Number of all parameters."""
        return self.embedding + self.attention + self.mlp + self.experts + self.norms + self.head


def parameters_by_kind(shape: ArchitectureConfig) -> Parameters:
    """Parameters of a Llama-class decoder by kind.

    Embedding and head have vocab_size * hidden_size parameters each (counted once if tied). A block has its linear layers,
    biases on q, k and v if attention_bias is set, and its norms. With experts it has three matrices and a router row per
    expert instead of the MLP.
    Source: transformers' modeling_llama.py, modeling_qwen2.py, modeling_qwen3.py, modeling_mixtral.py and
    modeling_gemma*.py. tests/training/test_model_counts.py compares the counts with these models on the meta device.
    """
    blocks, hidden = shape.num_hidden_layers, shape.hidden_size
    linears = linear_shapes(shape)
    sizes = {name: rows * columns for name, (rows, columns) in linears.items()}
    attention = _attention_weights(sizes)
    if shape.attention_bias:
        attention += sum(linears[name][1] for name in ("q_proj", "k_proj", "v_proj"))
        attention += hidden if shape.model_type != "qwen2" else 0
    norms = sum(block_norms(shape))
    experts = (3 * hidden * shape.intermediate_size + hidden) * (shape.num_experts or 0)
    table = shape.vocab_size * hidden
    return Parameters(
        embedding=table,
        attention=blocks * attention,
        mlp=0 if shape.num_experts else blocks * (sum(sizes.values()) - _attention_weights(sizes)),
        experts=blocks * experts,
        norms=blocks * norms + hidden,
        head=0 if shape.tie_word_embeddings else table,
    )


def block_norm_names(shape: ArchitectureConfig) -> dict[str, int]:
    """Norm's name -> its width, for one block: two norms, four in Gemma 2 and 3; Qwen3 and Gemma 3 also have one each for q
    and k."""
    names = ["input_layernorm", "post_attention_layernorm"]
    if shape.model_type in ("gemma2", "gemma3_text"):
        names += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    heads = ("q_norm", "k_norm") if shape.model_type in ("qwen3", "qwen3_moe", "gemma3_text") else ()
    return dict.fromkeys(names, shape.hidden_size) | dict.fromkeys(heads, head_dim(shape))


def block_norms(shape: ArchitectureConfig) -> list[int]:
    """Widths of a block's norms."""
    return list(block_norm_names(shape).values())


def model_tensors(shape: ArchitectureConfig) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of every weight of the model, in torch's order of dimensions; the sum is that of parameters_by_kind."""
    blocks, hidden, width = shape.num_hidden_layers, shape.hidden_size, shape.intermediate_size
    tables = 1 if shape.tie_word_embeddings else 2
    found: list[tuple[tuple[int, ...], int]] = [((shape.vocab_size, hidden), tables), ((hidden,), 1)]
    linears = linear_shapes(shape)
    found += [((columns, rows), blocks) for rows, columns in linears.values()]
    found += [((size,), blocks) for size in block_norms(shape)]
    if shape.attention_bias:
        names = ("q_proj", "k_proj", "v_proj") if shape.model_type == "qwen2" else tuple(linears)[:4]
        found += [((linears[name][1],), blocks) for name in names]
    if shape.num_experts:
        each = shape.num_experts
        found += [
            ((each, 2 * width, hidden), blocks),
            ((each, hidden, width), blocks),
            ((each, hidden), blocks),
        ]
    return found


def adapter_tensors(
    shape: ArchitectureConfig, r: int, target_modules: str | Iterable[str]
) -> list[tuple[tuple[int, ...], int]]:
    """(shape, count) of an adapter's weights; the sum is count_lora. Adapters of experts count as one tensor per block."""
    linears, blocks = linear_shapes(shape), shape.num_hidden_layers
    names = list(linears) if target_modules == "all-linear" else _named(target_modules)
    found: list[tuple[tuple[int, ...], int]] = []
    for name in names:
        rows, columns = linears[name]
        found += [((r, rows), blocks), ((columns, r), blocks)]
    if shape.num_experts and target_modules == "all-linear":
        found.append(((r, _expert_adapters(shape, shape.num_experts)), blocks))
    return found


def count_parameters(shape: ArchitectureConfig) -> int:
    """Number of parameters of a Llama-class decoder."""
    return parameters_by_kind(shape).total


def count_linear(shape: ArchitectureConfig) -> int:
    """Weights of all linear layers within blocks, which bitsandbytes quantises. It does not quantise the head."""
    return shape.num_hidden_layers * sum(rows * columns for rows, columns in linear_shapes(shape).values())


def _attention_weights(sizes: Mapping[str, int]) -> int:
    return sum(sizes[name] for name in ("q_proj", "k_proj", "v_proj", "o_proj"))


def count_lora(
    shape: ArchitectureConfig, r: int, target_modules: str | Iterable[str], *, key: str = "plugins.lora"
) -> int:
    """Number of LoRA parameters: r * (in_features + out_features) for each adapted layer.

    `target_modules` is all-linear or names of linear layers; PlanError for a name that no block has.
    Source: Hu et al., LoRA (arXiv 2106.09685), section 4.1.
    """
    linears = linear_shapes(shape)
    names = list(linears) if target_modules == "all-linear" else _named(target_modules)
    for name in names:
        if name not in linears:
            raise PlanError(f"{key}.target_modules: {unknown('layer', name, linears)} Or use all-linear.")
    each = sum(sum(linears[name]) for name in names)
    if shape.num_experts and target_modules == "all-linear":
        each += _expert_adapters(shape, shape.num_experts)
    return shape.num_hidden_layers * r * each


def _expert_adapters(shape: ArchitectureConfig, experts: int) -> int:
    """Adapter parameters of a MoE block's experts, per unit of rank; the router is not adapted.

    peft adapts the stacked experts as parameters, with twice the rank on the fused gate and up projection.
    Source: peft 0.21's conversion of Mixtral's targets; tests/training/test_adapter_counts.py compares the counts with peft's.
    """
    hidden, width = shape.hidden_size, shape.intermediate_size
    return experts * (2 * (hidden + 2 * width) + (width + hidden))


def _named(target_modules: str | Iterable[str]) -> list[str]:
    return [target_modules] if isinstance(target_modules, str) else list(target_modules)
