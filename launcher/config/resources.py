"""resources: how much a run needs."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class Device(Enum):
    """What the ranks compute on. `auto`: a GPU if the machines have one."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


@dataclass(kw_only=True)
class ShapeConfig:
    """One shape that resources.auto may choose."""

    nodes: int = 1
    """Nodes that train."""
    gpus_per_node: int = 1
    """Ranks per node."""


@dataclass(kw_only=True)
class ResourcesConfig:
    """How much a run needs."""

    auto: bool = False
    """Whether the queue chooses nodes and gpus_per_node: of the shapes that fit, the one that is expected to finish first, and
    again each time that the run is queued again. `resources=auto` sets it."""
    shapes: list[ShapeConfig] = field(default_factory=list[ShapeConfig])
    """The shapes to choose among, each {nodes: N, gpus_per_node: N}; a list sets resources.auto. With an empty list they are
    derived from the cluster: powers of two up to what one node and the partition have."""
    nodes: int = 1
    """Nodes that train; spares are requested in addition."""
    gpus_per_node: int = 1
    """Ranks per node, one GPU each; with device=cpu, CPU ranks per node."""
    time: str = "04:00:00"
    """Time limit of the job: minutes, HH:MM:SS or D-HH:MM:SS. 12 and 12:00 are 12 minutes, as in Slurm."""
    device: Device = Device.auto
    """What the ranks compute on; `auto` is a GPU if the machines have one, else the CPU."""
    cpus_per_gpu: Optional[int] = None  # noqa: UP045
    """CPU cores to request per rank; null requests the default of the site, which may be one core per node.
    cluster.sbatch.cpus-per-gpu overrides it."""
    memory_gib: Optional[int] = None  # noqa: UP045
    """Host memory to request per node, in GiB; 0 requests all memory of the node, null requests the default of the site.
    A run that needs more by its plan is refused. cluster.sbatch.mem-per-gpu or mem-per-cpu overrides it."""
    spares: int = 0
    """Additional nodes that wait in the allocation and replace a node that fails."""
    ddp_timeout_s: int = 1800
    """Seconds after which a collective operation of torch.distributed fails if a rank does not take part in it. A rank that
    hangs is found earlier, by hang_timeout_s."""
    hang_timeout_s: float = 60.0
    """Seconds without progress after which a rank counts as hung. Where steps are long, 10 times the longest step applies
    instead."""


def is_auto(resources: ResourcesConfig) -> bool:
    """Whether the queue chooses the shape of the run."""
    return resources.auto or bool(resources.shapes)
