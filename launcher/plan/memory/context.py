"""GPU memory of the CUDA context and of libraries, which is not in tensors of the run."""

from launcher.plan.memory.term import GIB, Term

CONTEXT = Term(
    name="context",
    count=lambda load, before: load.context_gib * GIB,
    text="CUDA context, cuBLAS workspaces, communicators and fragmentation: cluster.context_gib. "
    "Source: `python -m launcher calibrate RUN`, else an assumption of this project. Unverified.",
    shown_by="unverified until `calibrate`",
)
