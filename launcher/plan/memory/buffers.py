"""Bytes of temporary buffers on one GPU: buckets, gathered weights, casts."""

from collections.abc import Mapping

from launcher.plan.adapter import token_tables
from launcher.plan.memory.activations import working_bytes
from launcher.plan.memory.load import Load
from launcher.plan.memory.optimizer import step_bytes
from launcher.plan.memory.term import Term


def buffer_bytes(load: Load) -> float:
    """Buffers: gradient buckets, gathered blocks, bf16 copies of trained fp32 weights.

    DDP copies gradients into separate buckets. ZeRO-1 and 2 fill two buckets of reduce_bucket_size. ZeRO-3 fills one, and also
    holds the gathered weights (up to stage3_max_live_parameters) and the small tensors that it does not shard. FSDP2 gathers
    the current block and the next with their gradients, and keeps the head from the forward to the backward pass.
    Source: torch's DistributedDataParallel (gradient_as_bucket_view) and fully_shard, DeepSpeed 0.19.8's stage_1_and_2.py,
    stage3.py and configuration page, accelerate 1.15's fsdp_utils.py. Unverified on a GPU.
    """
    return load.acting.buffer_bytes(load, _gathered_bytes(load)) + _token_bytes(load)


def _token_bytes(load: Load) -> float:
    """Bytes of the embedding and the head with trained rows put in: a copy of each and its gradient, as long as a step takes.

    Source: peft 0.21's trainable_tokens/layer.py, get_merged_weights. Unverified on a GPU.
    """
    if load.adapter is None or not token_tables(load.shape, load.adapter):
        return 0
    return 2 * 2 * load.shape.vocab_size * load.shape.hidden_size * load.width


def _gathered_bytes(load: Load) -> float:
    """Bytes of two blocks, their gradients if they are trained, and the embedding and head."""
    shape = load.shape
    tables = shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    rest = load.parameters - tables
    if load.adapter is None:
        return 4 * rest / shape.num_hidden_layers * load.width + 2 * tables * load.width
    bytes_ = rest * load.width
    if load.adapter.four_bit:
        bytes_ = load.linear / 2 + (rest - load.linear) * load.width
    return 2 * bytes_ / shape.num_hidden_layers + tables * load.width


def _peak_bytes(load: Load, before: Mapping[str, float]) -> float:
    """The larger of the buffers of the backward pass and of the step's excess over the activations and logits freed by then."""
    backward = buffer_bytes(load) + max(working_bytes(load) - before["logits"], 0)
    return max(backward, step_bytes(load) - before["activations"] - before["logits"])


BUFFERS = Term(
    name="buffers",
    count=_peak_bytes,
    formulas=(buffer_bytes, working_bytes, step_bytes),
    shown_by="unverified",
)
