"""Bytes of gradients on one GPU."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import ON_CPU_RANKS, Term


def gradient_bytes(load: Load) -> float:
    """Gradients in the format of the trained weights, under DeepSpeed in that of the forward pass; 0 if they are offloaded.

    They are sharded under ZeRO, also in stage 1, because DeepSpeed frees what it has reduced, and under FSDP2. Between the
    passes of a step ZeRO-1 and FSDP2 keep them whole. ZeRO-1 also keeps them whole if the weights have another format.
    Source: ZeRO (arXiv 1910.02054), section 5.2; DeepSpeed 0.19.8, stage_1_and_2.py; accelerate 1.15's no_sync. Equal to the
    byte to ranks on a CPU.
    """
    return load.acting.gradient_bytes(load)


GRADIENTS = Term(
    name="gradients",
    at=lambda load, moment: load.acting.gradient_bytes_at(load, moment),
    formulas=(gradient_bytes,),
    shown_by=ON_CPU_RANKS,
)
