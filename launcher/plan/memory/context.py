"""GPU memory that is not in tensors of the run: the CUDA context, libraries, and what the allocator holds in addition."""

from collections.abc import Mapping

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term
from launcher.units import GIB

CONTEXT = Term(
    name="context",
    count=lambda load, before: load.context_gib * GIB,
    text="CUDA context, cuBLAS workspaces and communicators: cluster.context_gib. "
    "Source: `python -m launcher calibrate RUN`, else an assumption of this project. Unverified.",
    shown_by="unverified until `calibrate`",
)


def fragmentation_bytes(load: Load, before: Mapping[str, float]) -> float:
    """Memory that the allocator holds beside the tensors, since blocks of other sizes are free: cluster.fragmentation times the
    tensors at the peak.

    Source: `python -m launcher calibrate RUN`, else an assumption of this project. Unverified.
    """
    return load.fragmentation * sum(count for name, count in before.items() if name != CONTEXT.name)


FRAGMENTATION = Term(
    name="fragmentation",
    count=fragmentation_bytes,
    formulas=(fragmentation_bytes,),
    shown_by="unverified until `calibrate`",
)
