"""Bytes of the head's work on one GPU."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term

TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
"""What trl's fused head computes at once."""


def logit_bytes(load: Load) -> float:
    """Logits: one tile of trl's fused head, the scored hidden states and their gradient in fp32 and cast, a trained head's too.

    So it is where there is Triton, on every GPU of a plan: launcher/train/loss.py leaves trl's head alone there, which scores
    trained tokens only; all are counted here. Its tile is as wide for a small vocabulary. A trained head's gradient is made in
    fp32, beside the one that is kept where they differ, and under DDP a tile of its fp32 weights is cast. Elsewhere loss.py
    computes the head once and whole at trained tokens; no plan counts that, since a CPU run has no estimate.
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


def whole_logit_bytes(load: Load) -> float:
    """Logits without a fused head: in the forward pass's format, in fp32, and their gradient, as other trainers have them.

    Source: transformers' loss_utils.py (ForCausalLMLoss casts to fp32). Unverified. No run of ours.
    """
    return (load.width + 4 + 4) * load.shape.vocab_size * load.tokens


LOGITS = Term(
    name="logits",
    count=lambda load, before: logit_bytes(load),
    formulas=(logit_bytes,),
    shown_by="unverified",
)
