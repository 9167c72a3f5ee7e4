"""The model group: which model, and its shape."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

from launcher.config.missing import MISSING

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class Init(Enum):
    """Where a model's first weights come from."""

    pretrained = "pretrained"
    random = "random"


class AdapterMode(Enum):
    """What is done with the adapter that a run starts from."""

    train = "train"
    merge = "merge"


class RopeType(Enum):
    """How the frequencies of rotary position embeddings are stretched."""

    yarn = "yarn"
    llama3 = "llama3"
    linear = "linear"
    dynamic = "dynamic"


@dataclass(kw_only=True)
class RopeScalingConfig:
    """Rotary position embeddings that reach further than the model was trained on, in the names of its config.json."""

    rope_type: RopeType = RopeType.yarn
    """yarn (high frequencies stay; the usual choice), llama3 (as Llama 3.1), linear (positions are divided by factor), or
    dynamic (the base frequency grows with the length)."""
    factor: Optional[float] = None  # noqa: UP045
    """How many times as far positions reach as original_max_position_embeddings, greater than 1; null: nothing is changed."""
    original_max_position_embeddings: Optional[int] = None  # noqa: UP045
    """Positions that the model was trained on first; null: what its config.json says."""
    attention_factor: Optional[float] = None  # noqa: UP045
    """For yarn: scale of the attention scores; null: 0.1 ln(factor) + 1."""
    beta_fast: Optional[float] = None  # noqa: UP045
    """For yarn: rotations over the original positions from which a frequency stays; null: 32."""
    beta_slow: Optional[float] = None  # noqa: UP045
    """For yarn: rotations below which a frequency is divided by factor; null: 1."""
    low_freq_factor: Optional[float] = None  # noqa: UP045
    """For llama3: rotations below which a frequency is divided by factor; null: 1."""
    high_freq_factor: Optional[float] = None  # noqa: UP045
    """For llama3: rotations from which a frequency stays; null: 4."""


@dataclass(kw_only=True)
class BlockConfig:
    """Decoder blocks that hold the same tensors, as `plan --inspect` counts them."""

    layers: list[int] = field(default_factory=list[int])
    """Indices of these blocks, from 0; empty for tensors outside of all blocks, except the embedding and the head."""
    linears: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Linear layers by their path in the block: [in_features, out_features]."""
    tensors: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """All other tensors by their path in the block, such as norms, biases and stacked experts: their dimensions."""


@dataclass(kw_only=True)
class ArchitectureConfig:
    """Shape of a decoder, in the names of its config.json; memory and time are estimated from it."""

    model_type: str = "llama"
    """Hugging Face model type."""
    hidden_size: int = MISSING
    """Width of the residual stream."""
    intermediate_size: int = MISSING
    """Width of the MLP; of one expert in a mixture of experts."""
    num_hidden_layers: int = MISSING
    """Number of transformer blocks."""
    num_attention_heads: int = MISSING
    """Query heads per block."""
    num_key_value_heads: int = MISSING
    """Key and value heads per block; fewer than num_attention_heads in grouped-query attention."""
    head_dim: Optional[int] = None  # noqa: UP045
    """Width of one attention head; null means hidden_size / num_attention_heads."""
    vocab_size: int = MISSING
    """Rows of the embedding table."""
    tie_word_embeddings: bool = False
    """Whether the output head shares its weights with the embedding table."""
    attention_bias: bool = False
    """Whether q, k and v have a bias, as in Qwen2; in a Llama, o has one too."""
    num_experts: Optional[int] = None  # noqa: UP045
    """Experts per block in a mixture of experts (Mixtral, Qwen3-MoE); null for a dense model."""
    num_experts_per_tok: Optional[int] = None  # noqa: UP045
    """Experts that process each token; null means 2 if there are experts."""
    sliding_window: Optional[int] = None  # noqa: UP045
    """Tokens that attention looks back in the blocks beyond full_attention_layers; null: those blocks have linear attention."""
    full_attention_layers: Optional[int] = None  # noqa: UP045
    """Blocks whose attention sees the whole sequence; null means all."""
    blocks: Optional[list[BlockConfig]] = None  # noqa: UP045
    """What the blocks hold, if they differ or the planner has no rule for model_type; `plan --inspect` counts it. null: all
    blocks follow from the keys above."""


@dataclass(kw_only=True)
class ModelConfig:
    """Which model, and how much of its context is used."""

    name_or_path: str = MISSING
    """Hugging Face id, a local folder, or `package:NAME` for weights in an installed Python package."""
    revision: Optional[str] = None  # noqa: UP045
    """Branch, tag or commit on the hub; null takes the default branch."""
    gguf_file: Optional[str] = None  # noqa: UP045
    """Name of the GGUF file in the folder or package; null if the weights are not GGUF."""
    adapter: Optional[str] = None  # noqa: UP045
    """LoRA adapter that the run starts from: a folder, such as the model/ of a run, or a hub id that is in the hub's cache.
    Its base becomes model.name_or_path, unless that is typed. A name_or_path that is an adapter's folder does the same."""
    adapter_mode: AdapterMode = AdapterMode.train
    """`train` trains model.adapter further, with its rank and layers, under the plugin lora or qlora; `merge` adds it to the
    base model first, once, in cache_dir, and the run starts from the merged model."""
    init: Init = Init.pretrained
    """`pretrained` loads weights; `random` creates a model of `architecture` from `seed` with a byte tokenizer, for tests."""
    max_length: int = 2048
    """Longest training sequence, in tokens."""
    rope_scaling: RopeScalingConfig = field(default_factory=RopeScalingConfig)
    """Makes the positions of a model reach further than those it was trained on, such as {rope_type: yarn, factor: 4}. The
    export has it too, an adapter in the config.json beside it."""
    attn_implementation: Optional[str] = None  # noqa: UP045
    """Attention kernel: sdpa, eager, flash_attention_2, flash_attention_3 or flex; null uses the default of transformers."""
    trust_remote_code: bool = False
    """Whether to run Python code that is shipped with the model. This code can do anything that you can do."""
    chat_template: Optional[str] = None  # noqa: UP045
    """Chat template instead of the model's own, so that a base model learns chats: chatml, gemma, llama3, mistral, phi or
    zephyr, a Jinja file, or the folder or hub id of another model. The control tokens of the template are added if the model
    lacks them, and their embeddings are trained. The export has the template."""
    added_tokens: list[str] = field(default_factory=list[str])
    """Further tokens, such as [<think>, </think>], which the tokenizer then never splits. Those that the model lacks are added
    to its vocabulary; the embeddings of all of them are trained."""
    eos_token: Optional[str] = None  # noqa: UP045
    """Token that ends an answer, added if the model lacks it; null takes that of the chat template, else the model's own."""
    pad_token: Optional[str] = None  # noqa: UP045
    """Padding token, added if the model lacks it; null takes the model's own, else the end-of-text token."""
    architecture: Optional[ArchitectureConfig] = None  # noqa: UP045
    """Shape of the model; null reads config.json if the model is a local folder."""
