"""PureCluster: what planning asks a cluster. It reads nothing from the machine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from launcher.clusters.job import CpuRequest, Request
from launcher.errors import ClusterError

Options = Mapping[str, str]
"""Options of a job by their long names, "" for a flag without a value."""


class PureCluster(ABC):
    """A place where runs train, as planning sees it: its properties, and the options and the script of a job."""

    name: ClassVar[str]
    """The value of cluster.kind."""
    title: ClassVar[str]
    """The name that is shown to the user."""
    queued: ClassVar[bool] = True
    """Whether a run is submitted as a separate job. Otherwise it is a child of the command, which follows it to its end."""
    auto_order: ClassVar[int | None] = None
    """Order in which cluster.kind=auto tries `is_here`, the lowest first; None if it is never tried."""
    one_machine: ClassVar[bool] = False
    """Whether a run is entirely on the machine where its command runs."""
    outlives_run: ClassVar[bool] = False
    """Whether the job is a user's session, which continues when the run in it has ended."""
    arrays: ClassVar[bool] = False
    """Whether a sweep can be queued as job arrays."""
    opens_images: ClassVar[bool] = False
    """Whether the job step itself starts the container image (cluster.container.runtime=pyxis)."""
    node_index_word: ClassVar[str] = "0"
    """A bash expression for the node's index in node.sh."""

    @abstractmethod
    def job_options(self, request: Request) -> dict[str, str]:
        """The options of the job: those that the plan sets and those that the site adds; PlanError for an invalid one."""

    @abstractmethod
    def header(self, options: Options, folder: str) -> str:
        """The lines of a job script that give the scheduler the options and the folder in which the script starts."""

    def step_options(self, request: Request) -> tuple[str, ...]:
        """Arguments of the command that starts node.sh on every node."""
        del request
        return ()

    def check_nodes(self, nodes: int) -> None:
        """Raises PlanError if no job of this cluster can have that number of nodes."""
        del nodes

    def with_notice(self, options: Options, seconds: int) -> dict[str, str]:
        """The options with a signal USR1 to the job script `seconds` before the time limit, unless the site has set one."""
        del seconds
        return dict(options)

    def notice_s(self, options: Options) -> float | None:
        """Seconds before the time limit at which the job script gets USR1 by these options; None if it does not."""
        del options
        return None

    def log_folders(self, options: Options) -> list[str]:
        """Folders that must exist before the job starts, because the scheduler writes its output there: absolute ones, and
        ones relative to the folder in which the job starts."""
        del options
        return []

    def log_patterns(self, options: Options, job_ids: Sequence[str]) -> list[str]:
        """Patterns for glob(3) of the files outside of logs/ in which the scheduler keeps the output of these jobs."""
        del options, job_ids
        return []

    def with_requeue(self, options: Options, allowed: bool) -> dict[str, str]:
        """The options with or without the permission to queue the job again, unless the site has decided."""
        del allowed
        return dict(options)

    def may_requeue(self, options: Options) -> bool:
        """Whether these options allow the job to be queued again."""
        del options
        return self.queued

    def warning(self, options: Options, ranks: int, cuda: bool) -> str | None:
        """A warning about the options of a job with `ranks` ranks per node; None for no warning."""
        del options, ranks, cuda
        return None

    def memory_warning(self, options: Options, need_gib: int) -> str | None:
        """A warning about a job that requests no host memory and needs `need_gib` GiB on each node; None for no warning."""
        del options, need_gib
        return None

    def shape(self, options: Options) -> dict[str, str]:
        """The options without those that contain a job's name or folder: jobs with equal shapes fit into one array."""
        return dict(options)

    def array_options(self, options: Options, shape: Options, indices: str, folder: str) -> dict[str, str]:
        """Options of a job array over `indices` (0-3,7 or 0-9%2: two at once) in that folder."""
        del options, shape, indices, folder
        raise self.cannot("queue job arrays")

    def cpu_options(self, request: CpuRequest) -> dict[str, str]:
        """Options of a job without GPUs; UsageError for an unknown option."""
        del request
        raise self.cannot("queue a job without GPUs")

    def by_hand(self, script: str) -> str:
        """The command that starts a job script by hand in the run dir."""
        return f"`bash {script}`"

    def cannot(self, what: str) -> ClusterError:
        """The refusal of something that this cluster cannot do."""
        return ClusterError(f"cluster.kind={self.name} cannot {what}; use another cluster")
