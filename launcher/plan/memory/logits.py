"""Bytes that computing the head and the loss needs on one GPU."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import ON_FAKE_CUDA, Term
from launcher.strategies.moment import Moment

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
    if moment.in_blocks:
        return load.acting.held_head_bytes(load) if load.trains_head else 0
    if moment in (Moment.EMBEDDING, Moment.STEP):
        return 0
    tile = min(load.tokens, TILE_TOKENS) * TILE_VOCABULARY * load.width
    fp32_head = load.trains_head and load.autocast and load.casts_each and load.trained_width == 4
    head = 2 * 2 * min(shape.vocab_size, TILE_VOCABULARY) * hidden if fp32_head else 0
    if moment is Moment.FORWARD:
        return tile + head + load.stream_width * hidden * load.tokens
    cast = 2 if load.stream_width == 2 else 0  # fp32 hidden states take their gradient as it is
    states = (load.stream_width + 4 + cast) * hidden * load.tokens
    if not load.trains_head:
        return tile + states
    kept = load.width if load.acting.casts != "operation" else load.trained_width
    gradient = (4 + (kept if kept < 4 else 0)) * load.table
    return tile + states + gradient + head


LOGITS = Term(
    name="logits",
    at=logit_bytes,
    formulas=(logit_bytes,),
    shown_by=ON_FAKE_CUDA,
)
