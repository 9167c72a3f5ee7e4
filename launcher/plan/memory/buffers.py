"""Bytes of what comes and goes on one GPU: buckets, gathered weights, casts."""

from launcher.plan.memory.load import Load

PERSISTENT = 100_000
"""ZeRO-3 keeps tensors of at most so many elements whole. Source: DeepSpeed's stage3_param_persistence_threshold."""
LIVE = 1_000_000_000
"""stage3_max_live_parameters in deepspeed.json."""


def buffer_bytes(load: Load) -> float:
    """Buffers: gradient buckets, gathered blocks, bf16 copies of trained fp32 weights.

    DDP copies gradients into buckets of their own. ZeRO-1 and 2 fill two buckets of reduce_bucket_size, ZeRO-3 one, beside
    what is gathered (up to stage3_max_live_parameters) and the small tensors that it keeps whole. FSDP2 gathers the block
    in use and the next with their gradients, and keeps the head from the forward to the backward pass.
    Source: torch's DistributedDataParallel (gradient_as_bucket_view) and fully_shard, DeepSpeed 0.19.8's stage_1_and_2.py,
    stage3.py and configuration page, accelerate 1.15's fsdp_utils.py. Unverified on a GPU.
    """
    casts = 2 * load.linear if load.autocast and load.adapter is None and load.engine == "ddp" else 0
    if load.engine == "ddp":
        return casts + (load.trained * load.trained_width if load.world_size > 1 else 0)
    if load.strategy.zero_stage in (1, 2):
        return 2 * load.bucket * load.width
    gathered = _gathered_bytes(load)
    if load.engine == "fsdp2":
        return gathered
    whole = min(load.parameters, LIVE) * load.width
    return max(min(whole, gathered * 2), gathered) + _persistent_bytes(load) + load.bucket * load.width


def _gathered_bytes(load: Load) -> float:
    """Two blocks, their gradients where they are trained, and the embedding and head."""
    shape = load.shape
    tables = shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    rest = load.parameters - tables
    if load.adapter is None:
        return 4 * rest / shape.num_hidden_layers * load.width + 2 * tables * load.width
    bytes_ = rest * load.width
    if load.adapter.four_bit:
        bytes_ = load.linear / 2 + (rest - load.linear) * load.width
    return 2 * bytes_ / shape.num_hidden_layers + tables * load.width


def _persistent_bytes(load: Load) -> float:
    """What ZeRO-3 keeps whole because it is small."""
    tensors = load.counts.all_tensors + (load.trained_tensors if load.adapter else [])
    small = 0
    for dims, count in tensors:
        size = 1
        for dim in dims:
            size *= dim
        small += size * count if size <= PERSISTENT else 0
    return small * load.width
