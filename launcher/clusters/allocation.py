"""A Slurm allocation that the command is typed in: the job script runs here, and srun reaches the nodes."""

import os

from launcher.clusters.base import RunState
from launcher.clusters.local import Local
from launcher.clusters.slurm import Slurm
from launcher.errors import ClusterError, PlanError


class Allocation(Local):
    """The allocation of SLURM_JOB_ID. Its job id is Slurm's."""

    def __init__(self) -> None:
        if not os.environ.get("SLURM_JOB_ID"):
            raise ClusterError(
                "cluster=allocation, but SLURM_JOB_ID is not set; start from salloc or sbatch "
                "slurm/launch.sbatch, or use cluster=slurm"
            )
        self.job_id = os.environ["SLURM_JOB_ID"]

    def state(self, job_id: str) -> RunState | None:
        """What Slurm says of the job."""
        return Slurm().state(job_id)

    def cancel(self, job_id: str) -> None:
        """scancel of the whole allocation."""
        Slurm().cancel(job_id)


def check_nodes(nodes: int, spares: int) -> None:
    """PlanError when the allocation has fewer nodes than the run needs, its spares included."""
    have = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
    if nodes + spares > have >= nodes:
        raise PlanError(
            f"resources.nodes={nodes} and resources.spares={spares} are more than the {have} of allocation "
            f"{os.environ.get('SLURM_JOB_ID')}; use resources.spares={have - nodes}, or ask for {nodes + spares} nodes"
        )
    if nodes > have:
        raise PlanError(
            f"resources.nodes={nodes} is more than the {have} of allocation "
            f"{os.environ.get('SLURM_JOB_ID')}; use resources.nodes={have}, or ask for {nodes + spares} nodes"
        )
