"""The job that a process is in, by the SLURM_* variables of its environment."""

import socket
from collections.abc import Mapping

from launcher.clusters.job import Job


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
