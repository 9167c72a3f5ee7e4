"""A Slurm allocation in which the command is run: the job script runs here, and srun reaches the nodes."""

from collections.abc import Mapping

from launcher.clusters._here import StartedHere
from launcher.clusters.pure import Options
from launcher.clusters.slurm.cluster import Slurm
from launcher.clusters.slurm.environment import check_single, node_count
from launcher.errors import ClusterError, PlanError


class Allocation(StartedHere, Slurm):
    """The job that the command runs in. It continues when the run in it has ended."""

    name = "allocation"
    auto_order = 0
    outlives_run = True
    arrays = False

    def warning(self, options: Options, ranks: int, cuda: bool) -> str | None:
        """No warning, because the allocation was not requested with these options."""
        del options, ranks, cuda

    def memory_warning(self, options: Options, need_gib: int) -> str | None:
        """No warning, because the allocation was not requested with these options."""
        del options, need_gib

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether this process is inside a job."""
        return self.job(environ) is not None

    def check_start(self, environ: Mapping[str, str]) -> None:
        """Raises ClusterError outside of a job."""
        if self.job(environ) is None:
            raise ClusterError(
                "cluster=allocation, but this command is not in a job of Slurm; start it from salloc or sbatch "
                "slurm/launch.sbatch, or use cluster=slurm"
            )
        check_single(environ)

    def shell_warnings(self, options: Options, environ: Mapping[str, str]) -> list[str]:
        """No warnings, because nothing is submitted."""
        del options, environ
        return []

    def check_room(self, nodes: int, spares: int, environ: Mapping[str, str]) -> None:
        """Raises PlanError if the allocation has fewer nodes than the run needs, including spares."""
        have, job = node_count(environ), self.job(environ)
        number = job.id if job else None
        if nodes + spares > have >= nodes:
            raise PlanError(
                f"resources.nodes={nodes} and resources.spares={spares} are more than the {have} of allocation "
                f"{number}; use resources.spares={have - nodes}, or request {nodes + spares} nodes"
            )
        if nodes > have:
            raise PlanError(
                f"resources.nodes={nodes} is more than the {have} of allocation "
                f"{number}; use resources.nodes={have}, or request {nodes + spares} nodes"
            )


SPEC = Allocation()
