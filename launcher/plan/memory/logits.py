"""Bytes of the head's work on one GPU."""

from launcher.plan.memory.load import Load

TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
"""What trl's fused head computes at once."""


def logit_bytes(load: Load) -> float:
    """Logits: one tile of trl's fused head, the hidden states' gradient in fp32 and cast, and a trained head's in fp32.

    Source: trl 1.16, kernels/chunked_logprob.py and trainer/utils.py. Unverified on a GPU.
    """
    shape = load.shape
    tile = min(load.tokens, TILE_TOKENS) * min(shape.vocab_size, TILE_VOCABULARY) * load.width
    hidden = (4 + load.stream_width) * shape.hidden_size * load.tokens
    own = load.trains_head and (load.accumulation > 1 or load.trained_width == 2)
    return tile + hidden + (4 * shape.vocab_size * shape.hidden_size if own else 0)


def whole_logit_bytes(load: Load) -> float:
    """Logits without a fused head: in the forward pass's format, in fp32, and their gradient, as other trainers have them.

    Source: transformers' loss_utils.py (ForCausalLMLoss casts to fp32). Unverified. No run of ours.
    """
    return (load.width + 4 + 4) * load.shape.vocab_size * load.tokens
