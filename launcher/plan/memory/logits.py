"""Bytes that computing the head and the loss needs on one GPU."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.teacher import compared_logit_bytes
from launcher.plan.memory.term import ON_FAKE_CUDA, Term
from launcher.strategies.trained import Moment

TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
"""Size of one tile of trl's fused head."""


def logit_bytes(load: Load, moment: Moment) -> float:
    """Logits: one tile of trl's fused head, the hidden states, their gradient in fp32 and cast, and a trained head's gradient.

    This holds on GPUs, where Triton is available and launcher/train/loss.py uses trl's fused head. That head scores only
    trained tokens; the estimate counts all. The tile has the same width for a small vocabulary. A trained head's gradient is
    computed in fp32 and then cast to the weights' format; tied to the embedding, it waits for the embedding's. Under DDP tiles
    of its fp32 weights are cast, one while the one before it is alive. On a CPU loss.py computes the whole head at trained
    tokens; no estimate covers that.
    Source: trl 1.16, kernels/chunked_logprob.py and trainer/utils.py. Lifetimes on a fake CUDA device, no kernels.
    """
    shape, hidden = load.shape, load.shape.hidden_size
    if moment.between_steps:
        return measured_bytes(load) if moment is Moment.MEASURE else 0
    if moment.in_blocks:
        return load.acting.held_head_bytes(load) if load.trains_head else 0
    if load.imitates and moment in (Moment.BEGIN, Moment.FORWARD, Moment.HEAD):
        return compared_logit_bytes(load, moment)
    if moment in (Moment.BEGIN, Moment.REFERENCE, Moment.EMBEDDING, Moment.STEP) or load.scores:
        return 0
    if load.whole_logits:
        return whole_logit_bytes(load, moment)
    tile = min(load.tokens, TILE_TOKENS) * TILE_VOCABULARY * load.width
    fp32_head = load.trains_head and load.autocast and load.casts_each and load.trained_width == 4
    head = 2 * 2 * min(shape.vocab_size, TILE_VOCABULARY) * hidden if fp32_head else 0
    if moment is Moment.FORWARD:
        return tile + head + load.stream_width * hidden * load.tokens
    cast = 2 if load.stream_width == 2 else 0  # fp32 hidden states need no cast of their gradient
    states = (load.stream_width + 4 + cast) * hidden * load.tokens
    if not load.trains_head:
        return tile + states
    kept = load.width if load.acting.casts != "operation" else load.trained_width
    gradient = (4 + (kept if kept < 4 else 0)) * load.table
    return tile + states + gradient + head


def whole_logit_bytes(load: Load, moment: Moment) -> float:
    """Bytes of the logits of all tokens, for a loss that needs them at once.

    Accelerate casts logits to fp32 under autocast; otherwise they have the format of the forward pass. When their backward pass
    begins, the log-probabilities that the loss of the chosen answers needs take half as many bytes in addition. With fp32
    logits there are also two gradients of the logits' size (that of each row's normaliser, and the copy that joins the rows);
    with bf16 logits there are the log-probabilities of all rows instead. Autograd keeps a cast copy of a trained fp32 head. The
    head's own gradient is made when only one gradient of the logits and its cast copy are left.
    Source: trl 1.16, experimental/orpo/orpo_trainer.py (concatenated_forward) and trainer/utils.py (selective_log_softmax);
    accelerate 1.15's convert_outputs_to_fp32. Lifetimes on a fake CUDA device, no kernels.
    """
    fp32 = not load.bf16 or (load.autocast and load.casts_each)
    logits = (4 if fp32 else 2) * load.shape.vocab_size * load.tokens
    states = load.stream_width * load.hidden_size * load.tokens
    cast = load.width * load.table if load.trains_head and load.autocast and load.casts_each else 0
    if moment is Moment.FORWARD:
        return 2 * logits + states + cast
    kept = 4 if cast and load.width < 4 else 0
    made = (load.width + kept) * load.table if load.trains_head else 0
    return max((3.5 if fp32 else 2.5) * logits, 1.5 * logits + made) + states + cast


def measured_bytes(load: Load) -> float:
    """Logits that a plugin computes between two steps, such as forgetting_guard: in the forward pass's format, their fp32 copy,
    and their log-probabilities; autocast's logits become fp32 before that.

    Source: launcher/plugins/on_rank/forgetting.py; torch's cross_entropy. Unverified on a GPU.
    """
    fp32 = not load.bf16 or (load.autocast and load.casts_each)
    return (8 if fp32 else 10) * load.shape.vocab_size * load.measured


LOGITS = Term(
    name="logits",
    at=logit_bytes,
    formulas=(logit_bytes, whole_logit_bytes, compared_logit_bytes, measured_bytes),
    shown_by=f"{ON_FAKE_CUDA}; those of a distillation and those that a plugin measures unverified",
)
