"""Which place a run goes to."""

from collections.abc import Mapping
from pathlib import Path

from launcher.clusters.allocation import Allocation
from launcher.clusters.local import Local
from launcher.clusters.slurm import Slurm, is_configured
from launcher.config import ClusterKind
from launcher.run import RunDir


def choose_kind(asked: ClusterKind, environ: Mapping[str, str]) -> str:
    """slurm, allocation or local. `auto`: the allocation when inside one, else Slurm if there, else local."""
    if asked is not ClusterKind.auto:
        return asked.name
    if environ.get("SLURM_JOB_ID"):
        return "allocation"
    return "slurm" if is_configured() else "local"


def make_cluster(kind: str) -> Slurm | Allocation | Local:
    """The place of that kind; ClusterError where it is not to be had."""
    return {"slurm": Slurm, "allocation": Allocation, "local": Local}[kind]()


def submit_command(kind: str, run: RunDir) -> list[str]:
    """argv that submits the run there, whether the place is to be had here or not."""
    return Slurm.submit_command(run) if kind == "slurm" else Local.submit_command(run)


def job_cluster(kind: str) -> Slurm | Local:
    """The place to ask about a job that was started earlier; an allocation's jobs are Slurm's."""
    return Local() if kind == "local" else Slurm()


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU."""
    return Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/gpus").exists()
