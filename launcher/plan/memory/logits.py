"""Bytes that computing the head and the loss needs on one GPU."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term

TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
"""Size of one tile of trl's fused head."""


def logit_bytes(load: Load) -> float:
    """Logits: one tile of trl's fused head, the hidden states, their gradient in fp32 and cast, and a trained head's gradient.

    This holds on GPUs, where Triton is available and launcher/train/loss.py uses trl's fused head. That head scores only
    trained tokens; the estimate counts all. The tile has the same width for a small vocabulary. A trained head's gradient is
    computed in fp32, and counts in addition to the kept one if they differ; under DDP a tile of its fp32 weights is cast. On a
    CPU loss.py computes the whole head at trained tokens; no estimate covers that.
    Source: trl 1.16, kernels/chunked_logprob.py and trainer/utils.py. Unverified on a GPU.
    """
    shape, hidden = load.shape, load.shape.hidden_size
    tile = min(load.tokens, TILE_TOKENS) * TILE_VOCABULARY * load.width
    cast = 2 if load.stream_width == 2 else 0  # fp32 hidden states take their gradient as it is
    states = (load.stream_width + 4 + cast) * hidden * load.tokens
    if not load.trains_head:
        return tile + states
    own = load.accumulation > 1 or load.trained_width == 2
    gradient = 4 * shape.vocab_size * hidden if own else 0
    fp32_head = load.autocast and load.casts_each and load.trained_width == 4
    head = 2 * min(shape.vocab_size, TILE_VOCABULARY) * hidden if fp32_head else 0
    return tile + states + gradient + head


LOGITS = Term(
    name="logits",
    count=lambda load, before: logit_bytes(load),
    formulas=(logit_bytes,),
    shown_by="unverified",
)
