"""How many bytes each GPU holds at the peak of a step, term by term. Values in, values out.

No CPU run shows what a CUDA allocator does: the whole sum is an estimate, and no term of it was measured on a GPU yet.
"""

import dataclasses
from dataclasses import dataclass

from launcher.config import ArchitectureConfig
from launcher.plan.model import count_linear, count_lora, count_parameters, head_dim, linear_shapes
from launcher.plan.strategy import Strategy

GIB = 2**30
CONTEXT_GIB = 1.0
"""CUDA context, cuBLAS workspaces, communicators and fragmentation. Unverified: an assumption of this project."""
_BUCKET = 500_000_000  # elements; DeepSpeed's reduce_bucket_size where deepspeed.json names none
_TILE = 4096 * 8192 * 2  # elements; what trl's fused head computes at once, forward and backward. Unverified


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """The LoRA adapter of a run, as the memory estimate needs it."""

    r: int
    target_modules: tuple[str, ...] | str
    four_bit: bool
    double_quant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is trained on one GPU, and how."""

    shape: ArchitectureConfig
    adapter: Adapter | None
    checkpointing: bool
    strategy: Strategy
    world_size: int
    tokens: int
    """Tokens in one forward pass: sequences times their length."""
    bf16: bool
    """Whether the forward pass computes in bf16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Peak GiB of one GPU by kind."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float
    context: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(getattr(self, field.name) for field in dataclasses.fields(self))


def estimate_memory(load: Load) -> Memory:
    """The peak of a training step on one GPU."""
    kinds = {
        "weights": weight_bytes(load),
        "gradients": gradient_bytes(load),
        "optimizer": optimizer_bytes(load),
        "activations": activation_bytes(load),
        "logits": logit_bytes(load),
        "buffers": buffer_bytes(load),
    }
    return Memory(context=CONTEXT_GIB, **{kind: round(count / GIB, 3) for kind, count in kinds.items()})


def trained_parameters(load: Load) -> int:
    """Parameters that get a gradient."""
    if load.adapter is None:
        return count_parameters(load.shape)
    targets = load.adapter.target_modules
    return count_lora(load.shape, load.adapter.r, targets if isinstance(targets, str) else list(targets))


def frozen_bytes(load: Load) -> tuple[float, float]:
    """Bytes of the frozen weights: what can be sharded, and the quantisation constants, which every rank keeps.

    4-bit weights hold half a byte each and one fp32 constant per 64; double quantisation makes that one byte per 64
    and one fp32 per 256 of those. Source: Dettmers et al., QLoRA (arXiv 2305.14314), section 3; the constants are an
    attribute of bitsandbytes' Params4bit, which neither FSDP2 nor ZeRO-3 shards.
    """
    if load.adapter is None:
        return 0, 0
    every, width = count_parameters(load.shape), 2 if load.bf16 else 4
    if not load.adapter.four_bit:
        return every * width, 0
    linear = count_linear(load.shape)
    constant = 1 / 64 + 4 / (64 * 256) if load.adapter.double_quant else 4 / 64
    return linear / 2 + (every - linear) * width, linear * constant


def _trained_width(load: Load) -> int:
    """Bytes of a trained weight: fp32, but bf16 where DeepSpeed casts the module and keeps a master copy."""
    return 2 if load.bf16 and load.strategy.engine == "deepspeed" else 4


def weight_bytes(load: Load) -> float:
    """Bytes of weights, sharded under ZeRO-3 and FSDP2, none where they are offloaded.

    Source: Rajbhandari et al., ZeRO (arXiv 1910.02054), section 5.3. Unverified on ranks.
    """
    shardable, constants = frozen_bytes(load)
    shardable += trained_parameters(load) * _trained_width(load)
    if load.strategy.offload_param:
        shardable = 0
    return shardable / (load.world_size if load.strategy.shards_weights else 1) + constants


def gradient_bytes(load: Load) -> float:
    """Bytes of gradients, in the trained weights' format; sharded from ZeRO-2 on and under FSDP2.

    Source: ZeRO (arXiv 1910.02054), section 5.2. Unverified on ranks.
    """
    if load.strategy.offload_param or (load.strategy.offload_optimizer and load.strategy.zero_stage > 1):
        return 0
    sharded = load.strategy.zero_stage >= 2 or load.strategy.engine == "fsdp2"
    return trained_parameters(load) * _trained_width(load) / (load.world_size if sharded else 1)


def optimizer_bytes(load: Load) -> float:
    """Bytes of AdamW's two fp32 moments, and of DeepSpeed's fp32 master copy; sharded from ZeRO-1 on and under FSDP2.

    Source: ZeRO (arXiv 1910.02054), section 5.1. Unverified on ranks.
    """
    if load.strategy.offload_optimizer or load.strategy.offload_param:
        return 0
    width = 12 if load.strategy.engine == "deepspeed" else 8
    return trained_parameters(load) * width / (1 if load.strategy.engine == "ddp" else load.world_size)


def block_activation_bytes(load: Load) -> float:
    """Bytes that one decoder block keeps for its backward pass, with an attention kernel that keeps no scores.

    Kept: the inputs of both norms (in fp32), what the linears and adapters take in, q, k, v and the attention's output,
    and four values of the MLP's width. A frozen linear keeps no input, a frozen norm not its normalised one.
    Source: the operations of transformers' modeling_llama.py and peft's lora/layer.py; the method of Korthikanti et al.
    (arXiv 2205.05198), section 4.1. In fp32 held against autograd's saved tensors, within 5 %; in bf16, over 4-bit weights
    and for experts unverified.
    """
    shape, width = load.shape, 2 if load.bf16 else 4
    queries = shape.num_attention_heads * head_dim(shape)
    keys = shape.num_key_value_heads * head_dim(shape)
    linears = linear_shapes(shape)
    kept = 8 * shape.hidden_size + width * 2 * (queries + keys) + 4 * shape.num_attention_heads
    kept += width * 4 * shape.intermediate_size * (2 if shape.num_experts else 1)
    if load.adapter is None:
        kept += 8 * shape.hidden_size + width * (5 if load.bf16 else 2) * shape.hidden_size
        return kept * load.tokens
    targets = load.adapter.target_modules
    names = list(linears) if targets == "all-linear" else [name for name in linears if name in targets]
    kept += width * (2 * shape.hidden_size + load.adapter.r * len(names))
    if load.bf16:  # each adapter casts its own copy
        kept += width * sum(linears[name][0] for name in names)
    return kept * load.tokens


def activation_bytes(load: Load) -> float:
    """Bytes of activations at the peak: all blocks', or with checkpointing each block's input and one block's.

    Source: Chen et al., arXiv 1604.06174. With checkpointing unverified.
    """
    block = block_activation_bytes(load)
    if not load.checkpointing:
        return load.shape.num_hidden_layers * block
    stream = 2 if load.bf16 and load.adapter else 4
    return load.shape.num_hidden_layers * load.shape.hidden_size * stream * load.tokens + block


def logit_bytes(load: Load) -> float:
    """Bytes of trl's fused head: one tile of logits and gradients, and the hidden states' gradient.

    Source: trl 1.16, kernels/chunked_logprob.py. Unverified.
    """
    hidden = load.shape.hidden_size * load.tokens * 4 * 2
    whole = load.shape.vocab_size * load.shape.hidden_size * 4 if load.adapter is None else 0
    return hidden + whole + min(_TILE, load.tokens * load.shape.vocab_size) * 4


def buffer_bytes(load: Load) -> float:
    """Bytes of what comes and goes: buckets, gathered blocks, bf16 copies of trained fp32 weights.

    DDP copies gradients into buckets of their own. ZeRO-1 and 2 fill two buckets of reduce_bucket_size. ZeRO-3 keeps
    up to stage3_max_live_parameters gathered, FSDP2 the block in use and the next, and the root's embeddings.
    Source: torch's DistributedDataParallel (gradient_as_bucket_view), DeepSpeed 0.19.8's stage_1_and_2.py and
    configuration page, torch's fully_shard. Unverified.
    """
    shape, strategy, trained = load.shape, load.strategy, trained_parameters(load)
    copies = 2 * count_linear(shape) if load.bf16 and load.adapter is None and strategy.engine == "ddp" else 0
    if load.world_size == 1 and strategy.engine != "deepspeed":
        return copies
    if strategy.engine == "ddp":
        return 4 * trained + copies
    width = 2 if load.bf16 else 4
    if strategy.zero_stage in (1, 2):
        return 2 * _BUCKET * width
    four_bit = load.adapter is not None and load.adapter.four_bit
    block = count_linear(shape) / shape.num_hidden_layers * (0.5 if four_bit else width)
    tables = shape.vocab_size * shape.hidden_size * width * (1 if shape.tie_word_embeddings else 2)
    if strategy.engine == "fsdp2":
        return 2 * block + tables
    live = min(count_parameters(shape) * width, 1_000_000_000 * width)
    return max(live, 2 * block + tables) + (min(_BUCKET, trained) * width)


EXPLAINED = {
    "weights": f"{weight_bytes.__doc__} {frozen_bytes.__doc__}",
    "gradients": f"{gradient_bytes.__doc__}",
    "optimizer": f"{optimizer_bytes.__doc__}",
    "activations": f"{block_activation_bytes.__doc__} {activation_bytes.__doc__}",
    "logits": f"{logit_bytes.__doc__}",
    "buffers": f"{buffer_bytes.__doc__}",
    "context": "CUDA context, cuBLAS workspaces, communicators and fragmentation: one assumed figure. Unverified.",
}
"""How each kind of memory is counted, and its source: the formulas' own docstrings."""
