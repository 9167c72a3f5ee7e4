"""The cluster group: a place where runs go."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class ContainerRuntime(Enum):
    """How a container image is started on the nodes."""

    none = "none"
    pyxis = "pyxis"
    apptainer = "apptainer"


class RankStarter(Enum):
    """What starts the ranks of a node: this project's own light starter, or `accelerate launch`."""

    launcher = "launcher"
    accelerate = "accelerate"


@dataclass(kw_only=True)
class ContainerConfig:
    """The image that the ranks run in."""

    runtime: ContainerRuntime = ContainerRuntime.none
    image: Optional[str] = None  # noqa: UP045
    """Image reference (pyxis) or .sif path (apptainer)."""
    mounts: list[str] = field(default_factory=list[str])
    """Host folders to mount, each `path` or `host:container`; the run dir, data and caches are added."""
    python: str = "python3"
    """Python inside the image, with this package installed."""


@dataclass(kw_only=True)
class ClusterConfig:
    """A place where runs go; the only group in which a site describes itself."""

    kind: str = "auto"
    """The scheduler: slurm, allocation (the one that the command is typed in), local, or one that another package brings (entry
    point group launcher.clusters). `auto`: the allocation when inside one, else Slurm if there, else local."""
    gpus_per_node: Optional[int] = None  # noqa: UP045
    """GPUs that a node has; a run that asks for more is refused. None: not checked."""
    gpu_memory_gib: Optional[float] = None  # noqa: UP045
    """Memory of one GPU, in GiB; a launch that needs more is refused. None: not checked."""
    context_gib: float = 1.0
    """GiB of a GPU that are no tensors: CUDA's context, communicators, fragmentation. Assumed until `calibrate`."""
    gpu_tflops: Optional[float] = None  # noqa: UP045
    """Dense bf16 TFLOP/s of one GPU by its data sheet. None: an A100's are assumed."""
    achieved_share: float = 0.4
    """Share of gpu_tflops that training reaches. Assumed until `calibrate`."""
    link_gb_s: Optional[float] = None  # noqa: UP045
    """GB/s that one GPU sends to others of its node. None: assumed."""
    network_gb_s: Optional[float] = None  # noqa: UP045
    """GB/s that one GPU sends to other nodes. None: assumed."""
    price_per_gpu_hour: Optional[float] = None  # noqa: UP045
    """Price of one GPU for an hour, in your currency; a plan then tells the cost."""
    sbatch: dict[str, Any] = field(default_factory=dict[str, Any])
    """Any sbatch option by its long name (partition, account, qos, constraint, ...); true means no value."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """Options of a scheduler that another package brings, by its own names. Slurm's are in cluster.sbatch."""
    gpu_flag: str = "gpus-per-node"
    """sbatch option by which the site counts GPUs: gpus-per-node, or gres for `gpu:N`."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    """Environment variables for the ranks. Never secrets: those pass through from your own environment."""
    modules: list[str] = field(default_factory=list[str])
    """Environment modules to load, in order."""
    setup: list[str] = field(default_factory=list[str])
    """Simple commands before the ranks, e.g. `source /opt/site/env.sh`. Words are quoted; nothing expands."""
    python: Optional[str] = None  # noqa: UP045
    """Python on the nodes; None is the one that runs this command."""
    failures_per_1000_node_days: float = 6.5
    """How often a node of this place ends a job; saves and their interval are planned from it."""
    rank_starter: RankStarter = RankStarter.launcher
    container: ContainerConfig = field(default_factory=ContainerConfig)
