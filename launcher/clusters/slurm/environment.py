"""The job that a process is in, by the SLURM_* variables of its environment."""

import socket
from collections.abc import Mapping

from launcher.clusters.job import Job
from launcher.errors import ClusterError


def job(environ: Mapping[str, str]) -> Job | None:
    """The job; its id is ARRAY_INDEX in an array.

    One task of an array has the array's number as its SLURM_JOB_ID, and squeue, scontrol and scancel apply that number to
    all tasks. Source: sbatch(1), JOB ARRAYS; observed with 22.05.
    """
    array, index = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    restart = int(environ.get("SLURM_RESTART_COUNT") or 0)
    if array and index:
        return Job(id=f"{array}_{index}", restart=restart, index=int(index))
    number = environ.get("SLURM_JOB_ID")
    return Job(id=number, restart=restart) if number else None


def node_index(environ: Mapping[str, str]) -> int:
    """The index of this node in the step."""
    return int(environ.get("SLURM_NODEID", "0"))


def host(environ: Mapping[str, str]) -> str:
    """Slurm's name of this node."""
    return environ.get("SLURMD_NODENAME") or socket.gethostname()


def check_single(environ: Mapping[str, str]) -> None:
    """Raises ClusterError in one of several tasks of srun, and in a heterogeneous job."""
    tasks = environ.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks.isdigit() and int(tasks) > 1:
        raise ClusterError(
            f"srun has started {tasks} copies of this command (SLURM_STEP_NUM_TASKS={tasks}), and each would start a run; type "
            "the command without srun, because it starts the ranks on all nodes itself"
        )
    parts = environ.get("SLURM_HET_SIZE", "1")
    if parts.isdigit() and int(parts) > 1:
        raise ClusterError(
            f"this is a heterogeneous job of {parts} parts (SLURM_HET_SIZE={parts}), whose nodes a run cannot share; request "
            "the nodes in one part"
        )
