"""What can be counted of a model from its config alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from launcher.config import ArchitectureConfig
from launcher.errors import PlanError, unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The model as planned; counts are None where its shape is not known before it is downloaded."""

    name_or_path: str
    revision: str | None
    parameters: int | None
    trainable_parameters: int | None


def read_architecture(config_json: Mapping[str, Any]) -> ArchitectureConfig | None:
    """The shape in a Hugging Face config.json; None where it is not a Llama-class decoder."""
    try:
        model_type = str(config_json["model_type"])
        heads = int(config_json["num_attention_heads"])
        if model_type not in ("llama", "mistral", "qwen2", "qwen3"):
            return None
        return ArchitectureConfig(
            model_type=model_type,
            hidden_size=int(config_json["hidden_size"]),
            intermediate_size=int(config_json["intermediate_size"]),
            num_hidden_layers=int(config_json["num_hidden_layers"]),
            num_attention_heads=heads,
            num_key_value_heads=int(config_json.get("num_key_value_heads") or heads),
            head_dim=config_json.get("head_dim"),
            vocab_size=int(config_json["vocab_size"]),
            tie_word_embeddings=bool(config_json.get("tie_word_embeddings", False)),
            attention_bias=bool(config_json.get("attention_bias", model_type == "qwen2")),
        )
    except (KeyError, TypeError, ValueError):
        return None


def head_dim(shape: ArchitectureConfig) -> int:
    """Width of one attention head."""
    return shape.head_dim or shape.hidden_size // shape.num_attention_heads


def linear_shapes(shape: ArchitectureConfig) -> dict[str, tuple[int, int]]:
    """(in_features, out_features) of each linear layer of one decoder block, by its name.

    Source: transformers' modeling_llama.py, LlamaAttention and LlamaMLP.
    """
    queries = shape.num_attention_heads * head_dim(shape)
    keys = shape.num_key_value_heads * head_dim(shape)
    return {
        "q_proj": (shape.hidden_size, queries),
        "k_proj": (shape.hidden_size, keys),
        "v_proj": (shape.hidden_size, keys),
        "o_proj": (queries, shape.hidden_size),
        "gate_proj": (shape.hidden_size, shape.intermediate_size),
        "up_proj": (shape.hidden_size, shape.intermediate_size),
        "down_proj": (shape.intermediate_size, shape.hidden_size),
    }


def count_parameters(shape: ArchitectureConfig) -> int:
    """Number of parameters of a Llama-class decoder.

    Embedding and head are vocab_size * hidden_size each (one where they are tied); a block has its seven
    linear layers, two norms (Qwen3: also one per head width for q and k) and, where attention_bias is set,
    biases on q, k, v.
    """
    linears = linear_shapes(shape)
    block = sum(rows * columns for rows, columns in linears.values()) + 2 * shape.hidden_size
    if shape.attention_bias:
        block += sum(linears[name][1] for name in ("q_proj", "k_proj", "v_proj"))
    if shape.model_type == "qwen3":
        block += 2 * head_dim(shape)
    embeddings = shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    return embeddings + shape.num_hidden_layers * block + shape.hidden_size


def count_lora(
    shape: ArchitectureConfig, r: int, target_modules: str | Iterable[str], *, key: str = "plugins.lora"
) -> int:
    """Number of LoRA parameters: r * (in_features + out_features) per adapted layer.

    `target_modules` is all-linear or names of linear layers; PlanError for a name that no block has.
    Source: Hu et al., LoRA (arXiv 2106.09685), section 4.1.
    """
    linears = linear_shapes(shape)
    names = list(linears) if target_modules == "all-linear" else _named(target_modules)
    for name in names:
        if name not in linears:
            raise PlanError(f"{key}.target_modules: {unknown('layer', name, linears)} Or use all-linear.")
    return shape.num_hidden_layers * r * sum(sum(linears[name]) for name in names)


def _named(target_modules: str | Iterable[str]) -> list[str]:
    return [target_modules] if isinstance(target_modules, str) else list(target_modules)
