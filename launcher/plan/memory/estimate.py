"""The peak memory of a training step on one GPU, and how each part of it is counted."""

import dataclasses
from dataclasses import dataclass

from launcher.plan.memory.activations import activation_bytes, block_activation_bytes, working_bytes
from launcher.plan.memory.buffers import buffer_bytes
from launcher.plan.memory.gradients import gradient_bytes
from launcher.plan.memory.host import checkpoint_bytes, host_bytes
from launcher.plan.memory.load import Load
from launcher.plan.memory.logits import logit_bytes
from launcher.plan.memory.optimizer import optimizer_bytes, step_bytes
from launcher.plan.memory.weights import frozen_bytes, quantisation_bytes, weight_bytes

GIB = 2**30
CONTEXT_GIB = 1.0
"""CUDA context, cuBLAS workspaces, communicators and fragmentation: the default of cluster.context_gib."""
MARGIN = 0.1
"""A plan that leaves less than this share of a GPU free gets a warning: the estimate can be wrong by this much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Peak GiB of one GPU by kind."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float
    context: float

    @property
    def total(self) -> float:
        """GiB of all kinds together."""
        return sum(getattr(self, field.name) for field in dataclasses.fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a run needs besides its GPUs."""

    host_gib: float
    """Host memory of one node."""
    checkpoint_gib: float
    """Disk of one checkpoint."""


def estimate_memory(load: Load, context_gib: float = CONTEXT_GIB) -> Memory:
    """The peak of a training step on one GPU.

    It is the larger of two moments: a block's backward pass, and the optimizer's step, when activations and logits are freed.
    What the step needs in excess of the backward pass counts as buffers.
    """
    activations, logits = activation_bytes(load), logit_bytes(load)
    backward = buffer_bytes(load) + max(working_bytes(load) - logits, 0)
    kinds = {
        "weights": weight_bytes(load),
        "gradients": gradient_bytes(load),
        "optimizer": optimizer_bytes(load),
        "activations": activations,
        "logits": logits,
        "buffers": max(backward, step_bytes(load) - activations - logits),
    }
    return Memory(context=context_gib, **{kind: round(count / GIB, 3) for kind, count in kinds.items()})


def estimate_room(load: Load) -> Room:
    """Host memory of a node, and disk space of a checkpoint."""
    return Room(
        host_gib=round(host_bytes(load) / GIB, 3), checkpoint_gib=round(checkpoint_bytes(load) / GIB, 3)
    )


EXPLAINED = {
    "weights": f"{weight_bytes.__doc__} {frozen_bytes.__doc__} {quantisation_bytes.__doc__}",
    "gradients": f"{gradient_bytes.__doc__}",
    "optimizer": f"{optimizer_bytes.__doc__}",
    "activations": f"{activation_bytes.__doc__} {block_activation_bytes.__doc__}",
    "logits": f"{logit_bytes.__doc__}",
    "buffers": f"{buffer_bytes.__doc__} {working_bytes.__doc__} {step_bytes.__doc__}",
    "context": "CUDA context, cuBLAS workspaces, communicators and fragmentation: cluster.context_gib. "
    "Source: `python -m launcher calibrate RUN`, else an assumption of this project. Unverified.",
    "host": f"{host_bytes.__doc__}",
    "checkpoint": f"{checkpoint_bytes.__doc__}",
}
"""How each kind of memory is counted, and its source: the formulas' own docstrings."""

_ON_CPU = "ranks on a CPU, to the byte"
SHOWN = {
    "weights": _ON_CPU,
    "gradients": _ON_CPU,
    "optimizer": f"{_ON_CPU}; paging unverified",
    "activations": "ranks on a CPU and bf16 under autocast, within 5 %; dropout, experts and liger's kernels unverified",
    "logits": "unverified",
    "buffers": "unverified",
    "context": "unverified until `calibrate`",
    "host": "unverified",
    "checkpoint": "a run on a CPU",
}
"""How each kind of memory was verified. What a run on a CPU cannot show is unverified. docs/guide/planning.md says the same."""
