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
    singularity = "singularity"
    charliecloud = "charliecloud"
    podman_hpc = "podman_hpc"


class GpuVendor(Enum):
    """Who makes the GPUs of a site."""

    nvidia = "nvidia"
    amd = "amd"


class RankStarter(Enum):
    """What starts the ranks of a node: this project's own light starter, or `accelerate launch`."""

    launcher = "launcher"
    accelerate = "accelerate"


@dataclass(kw_only=True)
class ContainerConfig:
    """The container image in which the ranks run."""

    runtime: ContainerRuntime = ContainerRuntime.none
    """What starts the image; `none` runs without a container."""
    image: Optional[str] = None  # noqa: UP045
    """The image: a reference (pyxis, podman_hpc), a .sif file (apptainer, singularity) or a folder (charliecloud)."""
    options: list[str] = field(default_factory=list[str])
    """More options of the program, each one word, such as --writable-tmpfs or --env=X=1; pyxis takes them by cluster.srun."""
    mounts: list[str] = field(default_factory=list[str])
    """Host folders to mount, each `path` or `host:container`; the run dir, the data and the caches are added."""
    python: str = "python3"
    """Python interpreter inside the image; this package must be installed there."""


@dataclass(kw_only=True)
class ClusterConfig:
    """A place where runs go; the only group in which a site describes itself."""

    kind: str = "auto"
    """The scheduler: slurm, allocation (the one that the command is typed in), local, or that of another package; `auto` is
    the allocation when inside one, else Slurm where sbatch is, else this machine."""
    ssh: Optional[str] = None  # noqa: UP045
    """Login node, as `ssh` and ~/.ssh/config know it: NAME, USER@HOST or ssh://USER@HOST:PORT. Code and data are sent there
    once, and everything is planned and submitted there. null: the cluster of this machine."""
    ssh_dir: str = "~/launcher"
    """With cluster.ssh: folder on the cluster, on a shared file system, that holds what was sent, and runs/. ~ and $NAME are
    those of the cluster."""
    gpus_per_node: Optional[int] = None  # noqa: UP045
    """GPUs per node; a run that requests more is refused. With null this is not checked."""
    gpu_vendor: GpuVendor = GpuVendor.nvidia
    """Who makes the GPUs: nvidia, or amd (ROCm), which changes how containers and pre-flight checks find them."""
    gpu_memory_gib: Optional[float] = None  # noqa: UP045
    """Memory of one GPU, in GiB; a run that needs more by its plan is refused. With null this is not checked."""
    node_memory_gib: Optional[float] = None  # noqa: UP045
    """Host memory of a node that jobs can use, in GiB; a run that needs more by its plan is refused. With null this is not
    checked."""
    context_gib: float = 1.0
    """GPU memory outside of torch's allocator, in GiB: CUDA context, communicators. Assumed until `calibrate` measures it."""
    expandable_segments: bool = True
    """Whether torch's allocator grows its segments (PYTORCH_ALLOC_CONF=expandable_segments:True), so that rows of many lengths
    leave few gaps. Use false for GPUs whose driver refuses it, such as virtual ones. It is never set on AMD's GPUs, with
    generation.mode=colocate, or if cluster.env has PYTORCH_ALLOC_CONF or PYTORCH_CUDA_ALLOC_CONF; it replaces a value of your
    shell, with a warning."""
    fragmentation: Optional[float] = None  # noqa: UP045
    """Share of the tensors' GPU memory that torch's allocator holds in addition, as `calibrate` measures it; null counts it by
    the allocator's rules: with segments that grow 0.23 GiB, or 0.47 if all weights are trained; without, an upper bound."""
    gpu_tflops: Optional[float] = None  # noqa: UP045
    """Dense bf16 TFLOP/s of one GPU by its data sheet; null takes those of cluster.gpu_type, or else of an A100."""
    gpu_memory_gb_s: Optional[float] = None  # noqa: UP045
    """GB/s of one GPU's own memory by its data sheet; null takes those of a known GPU with these TFLOP/s."""
    achieved_share: Optional[float] = None  # noqa: UP045
    """Share of gpu_tflops that training reaches, as `calibrate` measures it; null estimates matrices, attention and memory each
    at the speed that published runs reach."""
    link_gb_s: Optional[float] = None  # noqa: UP045
    """GB/s that one GPU sends to other GPUs of its node in a ring, as `calibrate` measures it; null takes those of its kind."""
    network_gb_s: Optional[float] = None  # noqa: UP045
    """GB/s of a ring over several nodes, for all network adapters of a node in sum, as `calibrate` measures it; null assumes
    20."""
    price_per_gpu_hour: Optional[float] = None  # noqa: UP045
    """Price of one GPU for one hour, in your currency; a plan then shows the cost. null shows none."""
    sbatch: dict[str, Any] = field(default_factory=dict[str, Any])
    """Any sbatch option by its long name (partition, account, qos, constraint, ...); `true` is an option without a value."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """Options of a scheduler that another package adds, by its own names. Those of Slurm are in cluster.sbatch."""
    gpu_request: str = "gpus-per-node"
    """sbatch option with which the site requests GPUs: gpus-per-node, gpus-per-task, gres (`gpu:N`), or none for whole nodes
    without GRES."""
    gpu_type: Optional[str] = None  # noqa: UP045
    """Type of GPU in that request, as `sinfo -o %G` shows it: a100, or a MIG profile such as 3g.40gb; null requests any."""
    srun: dict[str, Any] = field(default_factory=dict[str, Any])
    """Any option of srun for the step that starts the nodes, by its long name (mpi, cpu-bind, network, ...); `true` is an
    option without a value."""
    time_limits: dict[str, Any] = field(default_factory=dict[str, Any])
    """Longest job of each partition or QoS by its name, such as "24:00:00" in quotes; a longer resources.time is refused before
    anything is queued. The limit of cluster.sbatch.qos counts, else of cluster.sbatch.partition; `any` is for the others."""
    host_suffix: str = ""
    """Text that a host's name gets on the network of the job, such as `i` on a site where n1i is n1 on InfiniBand."""
    interface: Optional[str] = None  # noqa: UP045
    """Network interface whose address the nodes use, such as ib0, also for NCCL and gloo; null, or auto, uses the address
    at which the nodes reach the supervisor."""
    ports: Optional[str] = None  # noqa: UP045
    """Ports that the processes of a job may use on a node, FIRST-LAST; null: any from 10000 to the ephemeral range."""
    start_timeout_s: Optional[float] = None  # noqa: UP045
    """Seconds from the start of the job step until every node must have answered; null is 300, and 3600 with a container,
    whose image can have to be imported first."""
    node_cache: Optional[str] = None  # noqa: UP045
    """Folder on each node's own disk, such as /tmp or $SLURM_TMPDIR (variables are the node's), into which one process of a
    node copies the model and the tokens once, and from which all its ranks read them. It must exist; null copies nothing."""
    insurance: bool = True
    """Whether a run whose job has lost its batch host queues a job behind that one, which continues the run if Slurm ends it
    before the run is over, and is cancelled otherwise. Choose false where jobs that only wait count against a limit. It
    concerns runs on several nodes that save checkpoints, as Slurm jobs of their own; others ignore it."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    """Environment variables for the ranks. Never put secrets here: they are inherited from your own environment."""
    modules: list[str] = field(default_factory=list[str])
    """Environment modules to load, in this order."""
    setup: list[str] = field(default_factory=list[str])
    """Simple commands to run before the ranks, such as `source ~/env.sh`. Words are quoted: nothing but ~/ is expanded."""
    python: Optional[str] = None  # noqa: UP045
    """Python interpreter on the nodes; null is the one that runs this command."""
    failures_per_1000_node_days: float = 6.5
    """How many node failures 1,000 nodes have per day; the interval between checkpoints is planned from it."""
    rank_starter: RankStarter = RankStarter.launcher
    """What starts the ranks on a node: `launcher` (its own light process) or `accelerate` (`accelerate launch`)."""
    container: ContainerConfig = field(default_factory=ContainerConfig)
