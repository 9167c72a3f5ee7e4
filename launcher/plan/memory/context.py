"""GPU memory outside of torch's allocator: the CUDA context and libraries."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term
from launcher.units import GIB


def context_bytes(load: Load) -> float:
    """CUDA context, cuBLAS workspaces and communicators: cluster.context_gib.

    Source: `python -m launcher calibrate RUN`, else an assumption of this project. Unverified.
    """
    return load.context_gib * GIB


CONTEXT = Term(
    name="context",
    count=lambda load, before: context_bytes(load),
    formulas=(context_bytes,),
    shown_by="unverified until `calibrate`",
)
