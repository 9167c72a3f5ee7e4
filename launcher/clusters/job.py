"""Values passed between callers and a cluster: a plan's request, the job that a process is in, and the record of a job."""

from collections.abc import Mapping

from launcher.config import ClusterConfig, RankStarter, ResourcesConfig
from launcher.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Request:
    """A plan's request to a cluster: one job that holds all nodes of the run."""

    name: str
    """The job's name: the run's."""
    run_dir: str
    nodes: int
    """Nodes that train or generate."""
    spares: int
    """Spare nodes that wait to replace a failed one."""
    gpus_per_node: int
    """GPUs of each node if `cuda`; ranks of each node otherwise."""
    cuda: bool
    resources: ResourcesConfig
    site: ClusterConfig
    image: str | None = None
    """The container image; None on bare nodes."""
    mounts: tuple[str, ...] = ()
    """Folders that are mounted into the container, each as host:container."""

    @property
    def led(self) -> bool:
        """Whether the supervisor leads the nodes; then the job survives the failure of a node."""
        return self.site.rank_starter is RankStarter.launcher


@frozen_dataclass
class CpuRequest:
    """A request for a job on one node without GPUs."""

    name: str
    """The job's name."""
    folder: str
    """The folder in which its script starts."""
    cores: int
    time: str
    """Time limit, in the form of resources.time."""
    given: Mapping[str, str]
    """Options of the scheduler that were typed, by their long names, "" for a flag without a value."""
    site: ClusterConfig


@frozen_dataclass
class Job:
    """The job that a process is in, read from its environment."""

    id: str
    """The id for the cluster's commands; for a task of an array, the task's own."""
    restart: int = 0
    """How often the cluster has queued the job again."""
    index: int | None = None
    """The task's index in a job array; None outside of an array."""


@frozen_dataclass
class JobRecord:
    """The cluster's present record of a job of this user."""

    running: bool
    """False while it ends, or waits to start again."""
    restarts: int = 0
    """How often it was queued again; greater than the process's own `Job.restart` once a requeue is decided."""
    preempted: bool = False
    """Whether the cluster has decided to pre-empt it. It may still run until the end of its grace time."""
    ends: float | None = None
    """The time of its limit (time.time()); None without a limit."""
    batch_host: str = ""
    """The node that runs the job script."""
    nodes: str = ""
    """The nodes that it holds, in the notation that `Cluster.hosts` reads."""
    script_ended: bool = False
    """Whether it ends because its script has failed or was killed; False for a cancel, and where the cluster does not tell."""


@frozen_dataclass
class Start:
    """The scheduler's answer to the question when a job would start if it were submitted."""

    at: float | None = None
    """When it would start (time.time()); None if that is not known."""
    refused: str | None = None
    """The scheduler's message if it would refuse the job."""
    how: str = ""
    """How the start is known, or why it is not."""
