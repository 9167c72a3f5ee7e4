"""Bytes of gradients on one GPU."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import ON_CPU_RANKS, Term


def gradient_bytes(load: Load) -> float:
    """Gradients in the trained weights' format, under DeepSpeed in the forward pass's; none on the GPU where offloaded.

    Sharded under ZeRO, in stage 1 too, since DeepSpeed frees what it has reduced, and under FSDP2, but not while that
    accumulates over several forward passes. ZeRO-1 keeps them whole beside its shard where weights have another format.
    Source: ZeRO (arXiv 1910.02054), section 5.2; DeepSpeed 0.19.8, stage_1_and_2.py; accelerate 1.15's no_sync. Held
    against ranks on a CPU, to the byte.
    """
    return load.acting.gradient_bytes(load)


GRADIENTS = Term(
    name="gradients",
    count=lambda load, before: gradient_bytes(load),
    formulas=(gradient_bytes,),
    shown_by=ON_CPU_RANKS,
)
