"""Bytes of gradients on one GPU."""

from launcher.plan.memory.load import Load


def gradient_bytes(load: Load) -> float:
    """Gradients in the trained weights' format: sharded from ZeRO-2 on and under FSDP2, none on the GPU where offloaded.

    FSDP2 accumulates over several forward passes without sharding, in the forward pass's format.
    Source: ZeRO (arXiv 1910.02054), section 5.2; accelerate 1.15's no_sync. Held against ranks on a CPU, to the byte.
    """
    strategy = load.strategy
    if load.engine == "fsdp2":
        if load.accumulation > 1:
            return load.trained * load.width
        return 0 if strategy.offload_param else load.shard(load.trained_tensors) * load.trained_width
    if strategy.offload_param or (strategy.offload_optimizer and strategy.zero_stage > 1):
        return 0
    if strategy.zero_stage >= 2:
        return load.shard(load.trained_tensors) * load.trained_width
    return load.trained * load.trained_width
