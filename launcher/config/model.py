"""The model group: which model, and its shape."""

from dataclasses import dataclass
from enum import Enum
from typing import Optional

from omegaconf import MISSING

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class Init(Enum):
    """Where a model's first weights come from."""

    pretrained = "pretrained"
    random = "random"


@dataclass(kw_only=True)
class ArchitectureConfig:
    """Shape of a Llama-class decoder, in the names of its config.json; a plan counts by it."""

    model_type: str = "llama"
    """Hugging Face model type."""
    hidden_size: int = MISSING
    intermediate_size: int = MISSING
    num_hidden_layers: int = MISSING
    num_attention_heads: int = MISSING
    num_key_value_heads: int = MISSING
    head_dim: Optional[int] = None  # noqa: UP045
    """Width of one head; None means hidden_size / num_attention_heads."""
    vocab_size: int = MISSING
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    """Bias on q, k and v, as in Qwen2; in a Llama on o too."""
    num_experts: Optional[int] = None  # noqa: UP045
    """Experts of each block, intermediate_size wide each (Mixtral, Qwen3-MoE); None for a dense model."""
    num_experts_per_tok: Optional[int] = None  # noqa: UP045
    """Experts that a token visits; None means 2 where there are experts."""


@dataclass(kw_only=True)
class ModelConfig:
    """Which model, and how much of its context is used."""

    name_or_path: str = MISSING
    """Hugging Face id, a local folder, or `package:NAME` for weights in an installed Python package."""
    revision: Optional[str] = None  # noqa: UP045
    """Branch, tag or commit on the hub."""
    gguf_file: Optional[str] = None  # noqa: UP045
    """File in the folder or package when the weights are GGUF."""
    init: Init = Init.pretrained
    """`random` makes a model of `architecture` from `seed`, with a byte tokenizer; for tests."""
    max_length: int = 2048
    """Longest training sequence, in tokens."""
    attn_implementation: Optional[str] = None  # noqa: UP045
    """Attention kernel: sdpa, eager, flash_attention_2, flash_attention_3 or flex; None takes transformers' choice."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off unless asked for."""
    architecture: Optional[ArchitectureConfig] = None  # noqa: UP045
    """Shape of the model; None reads config.json of a local folder."""
