"""Bytes of temporary buffers on one GPU: buckets, gathered weights, casts, the embedding's gradient, the optimizer's step."""

from launcher.plan.adapter import token_tables
from launcher.plan.memory.load import Load
from launcher.plan.memory.optimizer import step_bytes
from launcher.plan.memory.teacher import teacher_pass_bytes
from launcher.plan.memory.term import ON_FAKE_CUDA, Term
from launcher.plan.memory.working import block_pass_bytes, reference_pass_bytes, working_bytes
from launcher.strategies.trained import Moment, Units

PROBE = 2 * 4096**2
"""Bytes of the matrix with which each of several ranks measures its speed (launcher/train/meter.py)."""


def buffer_bytes(load: Load, moment: Moment) -> float:
    """Buffers: gradient buckets, gathered weights, bf16 copies of trained fp32 weights, the embedding's gradient.

    DDP copies gradients into separate buckets, which it keeps in the step too. ZeRO-1 and 2 fill two buckets of
    reduce_bucket_size. ZeRO-3 fills one, and also holds the gathered weights (up to stage3_max_live_parameters) and the small
    tensors that it does not shard. FSDP2 gathers the current block and the next with their gradients, and keeps the head from
    the forward to the backward pass. Several ranks keep a matrix to measure their speed.
    Source: torch's DistributedDataParallel (gradient_as_bucket_view) and fully_shard, DeepSpeed 0.19.8's stage_1_and_2.py,
    stage3.py and configuration page, accelerate 1.15's fsdp_utils.py. Lifetimes on a fake CUDA device, no kernels.
    """
    own = PROBE if load.degrees.world_size > 1 else 0
    own += load.acting.buffer_bytes(load, unit_bytes(load), moment)
    if moment is Moment.MEASURE:
        own += block_pass_bytes(load) * load.measured
    if moment is Moment.STEP:
        return own + step_bytes(load)
    if moment is Moment.EMBEDDING and load.trains_embedding:
        own += load.acting.embedding_bytes(load)
    if moment.in_blocks:
        own += working_bytes(load)
    if moment is Moment.BEGIN:
        own += teacher_pass_bytes(load)
    if moment is Moment.REFERENCE:
        own += reference_pass_bytes(load)
    return own + _token_bytes(load)


def _token_bytes(load: Load) -> float:
    """Bytes of the embedding and the head after trained rows are put in: a copy of each and its gradient, for the whole step.

    Source: peft 0.21's trainable_tokens/layer.py, get_merged_weights. Unverified on a GPU.
    """
    if load.adapter is None or not token_tables(load.shape, load.adapter):
        return 0
    return 2 * 2 * load.shape.vocab_size * load.shape.hidden_size * load.width


def unit_bytes(load: Load) -> Units:
    """Bytes of the head and of one block, in the forward pass's format."""
    tables = load.table * (1 if load.shape.tie_word_embeddings else 2)
    rest = load.parameters - tables
    block = rest * load.width
    if load.adapter is not None and load.adapter.four_bit:
        block = load.linear / 2 + (rest - load.linear) * load.width
    if load.adapter is not None:
        block += load.trained * load.width
    return Units(head=load.table * load.width, block=block / load.layers)


BUFFERS = Term(
    name="buffers",
    at=buffer_bytes,
    formulas=(buffer_bytes, working_bytes, reference_pass_bytes, teacher_pass_bytes, step_bytes),
    shown_by=f"{ON_FAKE_CUDA}; a teacher's pass, DoRA, trained tokens and optimizers of bitsandbytes unverified",
)
