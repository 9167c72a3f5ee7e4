"""What the trainers of published figures keep in memory that this launcher's ranks do not, by kind, each with its source.

A figure is compared twice: with the plan as it is, and with what its own trainer is known to do otherwise. Nothing here is
fitted to a figure: each kind is counted from the code that the source names, and no plan of a run uses any of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from launcher.plan.blocks import head_dim
from launcher.plan.memory import GIB, OPTIMIZERS, TERMS, Load, Memory
from launcher.strategies.trained import Moment

_HEAD = (Moment.FORWARD, Moment.HEAD)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One thing that another trainer does otherwise."""

    text: str
    """What it does, with the code that shows it."""
    at: Callable[[Load, Moment], float]
    """Bytes on one GPU at a moment of a step, besides those of the plan; negative where it keeps less."""
    replaces: str = ""
    """Name of the plan's term that it replaces."""
    load: Callable[[Load], Load] = lambda load: load
    """The load from which the plan's terms and these bytes are counted."""


def _head(load: Load, moment: Moment, *, kept: int, copied: bool = False) -> float:
    """Bytes of the head and the loss of transformers on every token. Forward: fp32 logits, their shifted copy if there are
    several rows (a slice of one row is contiguous), and the log-softmax that autograd keeps; `copied`: instead bf16 logits and
    two fp32 copies, of which the log-softmax is one. Backward: the log-softmax, its gradient and that of the logits, and `kept`
    bytes per logit that the training loop itself holds.
    """
    if moment not in _HEAD:
        return 0
    logits = load.shape.vocab_size * load.tokens
    states = load.stream_width * load.hidden_size * load.tokens
    if moment is Moment.FORWARD:
        return (10 if copied else 8 + (4 if load.sequences > 1 else 0)) * logits + states
    gradient = load.table * load.trained_width if load.trains_head else 0
    return max((12 + kept) * logits, (4 + kept) * logits + gradient) + states


def _inputs(load: Load, moment: Moment) -> float:
    """Inputs of 4-bit linear layers that no adapter keeps: of q, k and v, of the MLP's first two, and of its last; attention
    has kept that of its last. An adapter with dropout keeps what dropout has made of its input, and not the input."""
    if load.adapter is None or not load.adapter.four_bit:
        return 0
    targets = load.adapter.targets
    adapted = set(load.counts.linears) if targets == "all-linear" else set(targets)
    keeps = set[str]() if load.adapter.dropout else adapted
    wide = 0 if "down_proj" in keeps else load.shape.intermediate_size
    groups = ({"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj"})
    narrow = sum(load.hidden_size for group in groups if not keeps & group)
    return _kept(load, moment) * load.width * (wide + narrow) * load.tokens


def _four_bit_head(load: Load, moment: Moment) -> float:
    """A head in 4 bits, and unpacked weights in fp16 as well as in bf16: of the head, and of the widest layer of a block, which
    computes q, k and v."""
    assert load.adapter is not None
    constant = (1 + 4 / 256) / 64 if load.adapter.double_quant else 4 / 64
    made = -load.table * (load.width - 0.5 - constant)
    if moment in _HEAD:
        return made + 2 * load.width * load.table
    if moment.in_blocks:
        keys = load.shape.num_key_value_heads * head_dim(load.shape)
        queries = load.shape.num_attention_heads * head_dim(load.shape)
        fused = load.hidden_size * (queries + 2 * keys)
        widest = max(rows * columns for rows, columns in load.counts.linears.values())
        made += load.width * (2 * max(fused, widest) - widest)
    return made


def _flat_gradients(load: Load, moment: Moment) -> float:
    """Gradients of whole blocks, frozen weights included, which every rank adds up unsharded over the passes of a step; and the
    new one of the block in its backward pass."""
    if load.accumulation == 1 or moment is Moment.STEP or moment.between_steps:
        return 0
    tables = load.table * (1 if load.tied else 2)
    flat = load.width * (load.parameters - tables)
    return flat * (1 + (1 / load.layers if moment.in_blocks else 0))


def _fused_qkv(load: Load, moment: Moment) -> float:
    """q, k and v of one product: v is a view that keeps all of it, q and k are copies with positions; with fewer key-value
    heads k and v are repeated for every head. The adapter's product is kept where it is put in its places (index_copy)."""
    shape = load.shape
    queries = shape.num_attention_heads * head_dim(shape)
    keys = shape.num_key_value_heads * head_dim(shape)
    plan = queries + 2 * keys
    own = 2 * queries + (queries if keys < queries else plan)
    placed = queries + keys if load.adapter is not None else 0
    return _kept(load, moment) * load.width * (own - plan + placed) * load.tokens


def _one_dropout(load: Load, moment: Moment) -> float:
    """q and v share one input with one dropout, where peft drops for each layer."""
    if load.adapter is None or not load.adapter.dropout:
        return 0
    return -_kept(load, moment) * (load.width + 1) * load.hidden_size * load.tokens


def _narrow_norms(load: Load, moment: Moment) -> float:
    """Norms that compute in bf16 keep their input in bf16."""
    return -_kept(load, moment) * 2 * 2 * load.hidden_size * load.tokens


def _kept(load: Load, moment: Moment) -> int:
    """Number of blocks whose activations exist at that moment."""
    if moment.between_steps or moment in (Moment.STEP, Moment.EMBEDDING, Moment.BEGIN):
        return 0
    if moment is Moment.LAST_BLOCK:
        return 1
    if load.checkpointing:
        return 1 if moment is Moment.FIRST_BLOCK else 0
    return load.layers


def _chunked_head(load: Load, moment: Moment) -> float:
    """Logits in chunks of 128 tokens, all kept in fp32 until the backward pass, and the log-softmax of each."""
    if moment not in _HEAD:
        return 0
    return (
        4 + 4
    ) * load.shape.vocab_size * load.tokens + 2 * load.stream_width * load.hidden_size * load.tokens


def _prepared(load: Load, moment: Moment) -> float:
    """Tables and norms in fp32 instead of bf16, and a residual stream in fp32; autocast's bf16 copy of the head is kept from
    the head's forward pass to its backward pass."""
    rest = load.parameters - load.linear
    made = 2 * rest + (2 * load.table if moment in _HEAD else 0)
    if moment.between_steps or moment in (Moment.STEP, Moment.EMBEDDING):
        return made
    inputs = (load.layers if load.checkpointing else 0) + 2
    if moment in (Moment.BEGIN, Moment.LAST_BLOCK):
        inputs = 2
    return made + inputs * 2 * load.hidden_size * load.tokens


def _root(load: Load, moment: Moment) -> float:
    """FSDP1's root unit holds the embedding as well as the head, gathered from the forward to the end of the backward pass."""
    if load.degrees.shard_size == 1 or moment is Moment.STEP or moment.between_steps:
        return 0
    return load.table * load.width


def _fp32_adapters(load: Load, moment: Moment) -> float:
    """Adapters in fp32 beside whole modules in bf16, which the load has for all: 2 more bytes of each weight and gradient, 4 of
    its moments, and 2 of what the optimizer's step makes."""
    if load.adapter is None:
        return 0
    whole = len(load.adapter.modules_to_save) * load.table
    step = 2 if moment is Moment.STEP and OPTIMIZERS[load.optimizer].foreach else 0
    gradients = 0 if load.accumulation == 1 and moment.before_gradients else 2
    return (2 + 4 + gradients + step) * (load.trained - whole)


TRAINER = Kind(
    text="the head and the loss of transformers before 4.45 on all tokens in fp32 (modeling_llama.py, LlamaForCausalLM)",
    at=partial(_head, kept=0),
    replaces="logits",
)
LATER = Kind(
    text="the head and the loss of transformers 4.45 and later on all tokens: bf16 logits, of which the loss and accelerate "
    "each make an fp32 copy (loss/loss_utils.py, ForCausalLMLoss; convert_outputs_to_fp32)",
    at=partial(_head, kept=0, copied=True),
    replaces="logits",
)
QWEN = Kind(
    text="the head and the loss of Qwen's own code on all tokens: bf16 logits, of which autocast's loss and accelerate each "
    "make an fp32 copy (modeling_qwen.py, QWenLMHeadModel; convert_outputs_to_fp32)",
    at=partial(_head, kept=0, copied=True),
    replaces="logits",
)
OUTPUTS = Kind(
    text="the head and the loss of transformers before 4.45; the loop keeps the logits until the backward pass has ended "
    "(fsdp_qlora, train.py)",
    at=partial(_head, kept=4),
    replaces="logits",
)
CHUNKED = Kind(
    text="litgpt's head in chunks, which Fabric casts to fp32 and the loop keeps (lit_gpt/utils.py, chunked_cross_entropy; "
    "Fabric's HalfPrecision.convert_output)",
    at=_chunked_head,
    replaces="logits",
)
INPUTS = Kind(
    text="bitsandbytes before 0.43.2 keeps every input of a 4-bit layer (autograd/_functions.py, MatMul4Bit; changed by #1270)",
    at=_inputs,
)
FOUR_BIT_HEAD = Kind(
    text="Lightning quantises the head too, and from fp16, so that bitsandbytes unpacks each weight in fp16 and casts it "
    "(fabric/plugins/precision/bitsandbytes.py, _quantize_weight; bitsandbytes, MatMul4Bit)",
    at=_four_bit_head,
)
FLAT_GRADIENTS = Kind(
    text="FSDP1 with use_orig_params, Lightning's default, makes gradients of whole flat blocks, and adds them up unsharded "
    "while no_sync accumulates (torch, fsdp/_runtime_utils.py, _post_backward_hook; lit_gpt, finetune/lora.py)",
    at=_flat_gradients,
)
FUSED_QKV = Kind(
    text="litgpt computes q, k and v in one product and keeps all of it (lit_gpt/model.py, CausalSelfAttention; lora.py, "
    "zero_pad)",
    at=_fused_qkv,
)
ONE_DROPOUT = Kind(
    text="litgpt's LoRA drops the common input of q, k and v once (lit_gpt/lora.py, LoRAQKVLinear)",
    at=_one_dropout,
)
NARROW_NORMS = Kind(
    text="litgpt's norms of 2023 compute in bf16 (lit_gpt/rmsnorm.py at 8641822)", at=_narrow_norms
)
PREPARED = Kind(
    text="peft's prepare_model_for_kbit_training, which trl called until 2025, casts tables and norms to fp32 (utils/other.py)",
    at=_prepared,
)
ROOT = Kind(
    text="FSDP1 keeps the embedding gathered together with the head, in one root unit (fsdp_qlora, get_wrapping_policy; "
    "lit_gpt, finetune/lora.py)",
    at=_root,
)
BF16_MODULES = Kind(
    text="peft before 0.7 trains whole modules in their bf16 and adapters in fp32 (tuners/lora.py, update_layer; "
    "utils/other.py, ModulesToSaveWrapper)",
    at=_fp32_adapters,
    load=lambda load: replace(load, pure_bf16=True),
)
PEERS = {
    "trainer_head": TRAINER, "later_head": LATER, "qwen_head": QWEN, "kept_outputs": OUTPUTS, "chunked_head": CHUNKED,
    "four_bit_inputs": INPUTS, "fused_qkv": FUSED_QKV, "one_dropout": ONE_DROPOUT, "narrow_norms": NARROW_NORMS,
    "prepared": PREPARED, "root_unit": ROOT, "bf16_modules": BF16_MODULES, "four_bit_head": FOUR_BIT_HEAD,
    "flat_gradients": FLAT_GRADIENTS,
}  # fmt: skip
"""By their names in published_memory.csv."""
LITGPT_HAS = (CHUNKED, FUSED_QKV, ONE_DROPOUT, NARROW_NORMS, INPUTS)
"""litgpt of 2023 with LoRA."""


def peer_memory(load: Load, kinds: tuple[Kind, ...]) -> Memory:
    """What estimate_memory says, with these kinds as a term of their own."""
    for kind in kinds:
        load = kind.load(load)
    replaced = {kind.replaces for kind in kinds}
    terms = [term for term in TERMS if term.name not in replaced]
    moments = [
        {term.name: term.at(load, moment) for term in terms if term.at is not None}
        | {"peers": sum(kind.at(load, moment) for kind in kinds)}
        for moment in Moment
        if load.has(moment)
    ]
    counted = max(moments, key=lambda parts: sum(parts.values()))
    for term in terms:
        if term.at is None:
            counted[term.name] = term.count(load, counted)
    return Memory(parts={name: count / GIB for name, count in counted.items()})
