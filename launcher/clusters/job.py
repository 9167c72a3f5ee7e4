"""What is passed between callers and a cluster: what a plan asks for, the job that a process is in, and what is said of it."""

from dataclasses import dataclass

from launcher.config import ClusterConfig, RankStarter, ResourcesConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a plan asks a cluster for: one job that holds all nodes of the run."""

    name: str
    """The job's name: the run's."""
    run_dir: str
    nodes: int
    """Nodes that train."""
    spares: int
    """Nodes beside them that wait to replace one that fails."""
    gpus_per_node: int
    """Ranks of a node, one GPU each where `cuda`."""
    cuda: bool
    resources: ResourcesConfig
    site: ClusterConfig
    image: str | None = None
    """The container image; None on bare nodes."""
    mounts: tuple[str, ...] = ()
    """Folders that the container is given, each host:container."""

    @property
    def led(self) -> bool:
        """Whether the supervisor leads the nodes, which then outlive the failure of one of them."""
        return self.site.rank_starter is RankStarter.launcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The job that a process is in, by its environment."""

    id: str
    """As the cluster's commands take it; of a task of an array, the task's own."""
    restart: int = 0
    """How often the cluster has queued the job again."""
    index: int | None = None
    """The task's index in a job array; None outside of an array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What the cluster says now of a job that this user has."""

    running: bool
    """False while it ends, or waits to begin again."""
    restarts: int = 0
    """How often it was queued again; more than the process's own `Job.restart` once that is decided."""
    ends: float | None = None
    """When its time limit is reached (time.time()); None without a limit."""
    head: str = ""
    """The node that runs the job script."""
    nodes: str = ""
    """The nodes that it holds, as `Cluster.hosts` reads them."""
