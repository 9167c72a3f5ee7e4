"""Bytes of a distillation on one GPU: the teacher's weights, its forward pass, and the logits of both models."""

from launcher.plan.memory.load import Load
from launcher.strategies.trained import Moment, Units

CHUNK = 1 << 25
"""Logits of one chunk of the loss (launcher/train/divergence.py)."""
_COPIES = 10


def teacher_bytes(load: Load) -> float:
    """Weights of the teacher, in the format of the forward pass: sharded under ZeRO-3 and FSDP2, whole under other strategies.

    Source: launcher/train/methods/teacher.py. Unverified on a GPU.
    """
    teacher = load.teaching
    if teacher is None or (load.strategy.offload_param and load.shards_weights):
        return 0
    held = load.shard(teacher.all_tensors) if load.shards_weights else teacher.parameters
    return held * load.width


def teacher_pass_bytes(load: Load) -> float:
    """Temporary memory of the teacher's forward pass, which comes before the student's: the widest values of one block, and
    weights that are gathered for it.

    Source: transformers' modeling_llama.py, as block_pass_bytes; the strategy's own count of gathered weights. Unverified.
    """
    teacher = load.teaching
    if teacher is None:
        return 0
    width, hidden = load.width, teacher.hidden_size
    states = (4 * width * teacher.shape.intermediate_size + (4 * width + 4) * hidden) * load.tokens
    if not load.shards_weights:
        return states
    blocks = (teacher.parameters - teacher.table * (1 if teacher.tied else 2)) * width
    units = Units(head=teacher.table * width, block=blocks / teacher.layers)
    return states + load.acting.buffer_bytes(teacher, units, Moment.FORWARD)


def compared_logit_bytes(load: Load, moment: Moment) -> float:
    """Bytes of the logits of both models at all tokens; the loss is computed in chunks, whose copies are in fp32.

    The logits of a loaded teacher exist from before the student's forward pass until the loss is computed. Then the student's
    logits and their gradient exist, of which the backward pass of the head keeps the gradient, its cast copy, and the head's
    own gradient. Only trained tokens have logits; the estimate counts all. Accelerate casts the student's logits to fp32
    under autocast.
    Source: launcher/train/divergence.py; accelerate 1.15's convert_outputs_to_fp32. Unverified on a GPU.
    """
    fp32 = not load.bf16 or (load.autocast and load.casts_each)
    logits = load.shape.vocab_size * load.tokens
    own, taught = (4 if fp32 else 2) * logits, load.width * logits if load.teacher else 0
    if moment is Moment.BEGIN:
        return taught
    states = load.stream_width * load.hidden_size * load.tokens
    cast = load.width * load.table if load.trains_head and load.autocast and load.casts_each else 0
    if moment is Moment.FORWARD:
        return taught + 2 * own + min(CHUNK, logits) * 4 * _COPIES + states + cast
    made = (load.width + (4 if cast and load.width < 4 else 0)) * load.table if load.trains_head else 0
    return own + (load.width * logits if fp32 else 0) + made + states + cast
