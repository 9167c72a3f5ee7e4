"""What a model's decoder blocks hold: every tensor by its path, from the shape alone; and how many tokens a token attends to.

Windows and linear attention see less than the sequence.
"""

from collections.abc import Mapping

from launcher.config import ArchitectureConfig
from launcher.frozen_dataclass import frozen_dataclass

PLAIN = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "smollm3")
GEMMA = (
    "gemma",
    "gemma2",
    "gemma3_text",
)  # their head is tied to the embedding unless config.json says otherwise
FUSED = ("phi3",)
"""q, k and v are one layer, and so are gate and up."""
SINKS = ("gpt_oss",)
"""Biases everywhere, a learned attention sink for each head, and experts stored with their input first."""
KNOWN = (*PLAIN, *GEMMA, *FUSED, *SINKS)
"""Model types whose blocks follow from the shape; those of any other are counted by `plan --inspect`."""
ROUTERS = frozenset({"gate", "router", "shared_expert_gate"})
"""Layers that choose experts. An adapted router sends tokens elsewhere and unbalances the experts."""
OF_EXPERTS = frozenset({"gate_proj", "up_proj", "down_proj"})
"""peft 0.21 takes these names for those of stacked experts, so all-linear does not adapt a shared expert beside them."""


@frozen_dataclass
class Block:
    """Blocks that hold the same tensors."""

    layers: tuple[int, ...]
    """Indices of these blocks; empty for tensors outside of all blocks."""
    linears: Mapping[str, tuple[int, int]]
    """Path in the block -> (in_features, out_features) of a linear layer."""
    others: Mapping[str, tuple[int, ...]]
    """Path in the block -> dimensions of every other tensor; a norm's path is that of its layer."""

    @property
    def count(self) -> int:
        """Number of these blocks; 1 for tensors outside of all blocks."""
        return len(self.layers) or 1


def is_plain(shape: ArchitectureConfig) -> bool:
    """Whether it is a Llama-class decoder, whose blocks are alike and have q, k, v, o, gate, up and down."""
    return shape.blocks is None and shape.model_type not in (*FUSED, *SINKS)


def blocks_of(shape: ArchitectureConfig) -> tuple[Block, ...]:
    """Every kind of block, and what is outside of all blocks except the embedding and the head.

    Source: transformers' modeling_llama.py, modeling_qwen2.py, modeling_qwen3.py, modeling_mixtral.py, modeling_phi3.py,
    modeling_gpt_oss.py and modeling_gemma*.py. tests/training/test_model_counts.py compares the counts with these models on the
    meta device.
    """
    if shape.blocks is not None:
        return tuple(
            Block(
                layers=tuple(one.layers),
                linears={path: (size[0], size[1]) for path, size in one.linears.items()},
                others={path: tuple(size) for path, size in one.tensors.items()},
            )
            for one in shape.blocks
        )
    linears = _attention(shape) | ({} if shape.num_experts else _mlp(shape))
    others = _norms(shape) | _biases(shape, linears) | (_experts(shape) if shape.num_experts else {})
    inside = Block(layers=tuple(range(shape.num_hidden_layers)), linears=linears, others=others)
    return inside, Block(layers=(), linears={}, others={"norm": (shape.hidden_size,)})


def head_dim(shape: ArchitectureConfig) -> int:
    """Width of one attention head."""
    return shape.head_dim or shape.hidden_size // shape.num_attention_heads


def is_expert(path: str) -> bool:
    """Whether a tensor belongs to the stacked experts of a block: each token visits only some of them."""
    return ".experts." in f".{path}"


def is_router(path: str) -> bool:
    """Whether a layer or tensor chooses experts."""
    names = path.removesuffix(".weight").removesuffix(".bias").split(".")
    return names[-1] in ROUTERS


def in_all_linear(shape: ArchitectureConfig, path: str) -> bool:
    """Whether all-linear adapts a layer: any in a dense model, and neither a router nor a shared expert beside experts.

    Source: peft 0.21, transformers_weight_conversion.py, _convert_peft_config_moe.
    """
    return not shape.num_experts or not (is_router(path) or path.rpartition(".")[2] in OF_EXPERTS)


def is_norm(path: str, dims: tuple[int, ...]) -> bool:
    """Whether a tensor is the scale of a norm."""
    name = path.rpartition(".")[2]
    return len(dims) == 1 and (name.endswith("norm") or name.startswith("ln"))


def _attention(shape: ArchitectureConfig) -> dict[str, tuple[int, int]]:
    hidden = shape.hidden_size
    queries, keys = shape.num_attention_heads * head_dim(shape), shape.num_key_value_heads * head_dim(shape)
    if shape.model_type in FUSED:
        return {
            "self_attn.o_proj": (queries, hidden),
            "self_attn.qkv_proj": (hidden, queries + 2 * keys),
        }
    return {
        "self_attn.q_proj": (hidden, queries),
        "self_attn.k_proj": (hidden, keys),
        "self_attn.v_proj": (hidden, keys),
        "self_attn.o_proj": (queries, hidden),
    }


def _mlp(shape: ArchitectureConfig) -> dict[str, tuple[int, int]]:
    hidden, width = shape.hidden_size, shape.intermediate_size
    if shape.model_type in FUSED:
        return {"mlp.gate_up_proj": (hidden, 2 * width), "mlp.down_proj": (width, hidden)}
    return {
        "mlp.gate_proj": (hidden, width),
        "mlp.up_proj": (hidden, width),
        "mlp.down_proj": (width, hidden),
    }


def _norms(shape: ArchitectureConfig) -> dict[str, tuple[int, ...]]:
    """Two norms, four in Gemma 2 and 3; Qwen3 and Gemma 3 also have one each for q and k."""
    names = ["input_layernorm", "post_attention_layernorm"]
    if shape.model_type in ("gemma2", "gemma3_text"):
        names += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    found: dict[str, tuple[int, ...]] = dict.fromkeys(names, (shape.hidden_size,))
    if shape.model_type in ("qwen3", "qwen3_moe", "gemma3_text"):
        found |= dict.fromkeys(("self_attn.q_norm", "self_attn.k_norm"), (head_dim(shape),))
    return found


def _biases(shape: ArchitectureConfig, linears: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    if shape.model_type in SINKS:
        found["self_attn.sinks"] = (shape.num_attention_heads,)
    if not shape.attention_bias:
        return found
    names = ["q_proj", "k_proj", "v_proj", *([] if shape.model_type == "qwen2" else ["o_proj"])]
    return found | {f"self_attn.{name}.bias": (linears[f"self_attn.{name}"][1],) for name in names}


def _experts(shape: ArchitectureConfig) -> dict[str, tuple[int, ...]]:
    """transformers 5 stores all experts of a block in three-dimensional parameters, which bitsandbytes does not quantise."""
    each, hidden, width = shape.num_experts or 0, shape.hidden_size, shape.intermediate_size
    if shape.model_type in SINKS:
        return {
            "mlp.router.weight": (each, hidden),
            "mlp.router.bias": (each,),
            "mlp.experts.gate_up_proj": (each, hidden, 2 * width),
            "mlp.experts.gate_up_proj_bias": (each, 2 * width),
            "mlp.experts.down_proj": (each, width, hidden),
            "mlp.experts.down_proj_bias": (each, hidden),
        }
    return {
        "mlp.gate.weight": (each, hidden),
        "mlp.experts.gate_up_proj": (each, 2 * width, hidden),
        "mlp.experts.down_proj": (each, hidden, width),
    }


def full_blocks(shape: ArchitectureConfig) -> int:
    """Blocks whose attention sees the whole sequence."""
    full = shape.full_attention_layers
    return shape.num_hidden_layers if full is None else full


def windowed_blocks(shape: ArchitectureConfig) -> int:
    """Blocks whose attention sees a window. Blocks with linear attention, which compares no pairs of tokens, do not count."""
    return shape.num_hidden_layers - full_blocks(shape) if shape.sliding_window else 0


def seen_in_window(shape: ArchitectureConfig, length: int) -> float:
    """Mean number of tokens that a token of a sequence of that length sees through the window."""
    window = min(shape.sliding_window or length, length)
    return window * (1 - window / (2 * length))


def seen_tokens(shape: ArchitectureConfig, length: int) -> float:
    """Mean number of tokens that a token attends to, summed over all blocks, by causal attention."""
    return full_blocks(shape) * length / 2 + windowed_blocks(shape) * seen_in_window(shape, length)


def attention_width(shape: ArchitectureConfig) -> int:
    """Width of all heads of a block together."""
    return shape.num_attention_heads * head_dim(shape)
