"""resources: how much a run needs."""

from dataclasses import dataclass
from enum import Enum
from typing import Optional

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class Device(Enum):
    """What the ranks compute on. `auto`: a GPU where the place has one."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


@dataclass(kw_only=True)
class ResourcesConfig:
    """How much a run needs."""

    nodes: int = 1
    gpus_per_node: int = 1
    """Ranks per node, one GPU each; with device=cpu, CPU ranks per node."""
    time: str = "04:00:00"
    """Time limit of the job, in Slurm's spelling (minutes, HH:MM:SS, D-HH:MM:SS)."""
    device: Device = Device.auto
    cpus_per_gpu: Optional[int] = None  # noqa: UP045
    """CPU cores asked for per rank, where cluster.sbatch has no cpus-per-gpu; None leaves it to the site's default, which may
    be one core a node."""
    memory_gib: Optional[int] = None  # noqa: UP045
    """Host memory asked for per node, in GiB, where cluster.sbatch has no mem-per-gpu or mem-per-cpu: 0 is all that a node
    has, None leaves it to the site's default."""
    spares: int = 0
    """Nodes more than `nodes`, that wait in the allocation and take the place of one that fails."""
    hang_timeout_s: float = 60.0
    """Seconds without a step after which the ranks count as hung, once the run has shown that its steps are shorter. The limit
    is 10 times the longest step where that is more."""
