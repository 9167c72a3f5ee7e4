"""The sbatch options of a job without GPUs."""

from launcher.clusters.job import CpuRequest
from launcher.clusters.slurm.options import KNOWN
from launcher.errors import UsageError, unknown

_ACCOUNT = "account"
"""The only option of cluster.sbatch that such a job gets, because partition, qos and constraint choose nodes with GPUs."""


def cpu_options(request: CpuRequest) -> dict[str, str]:
    """The options: one task with some cores, the site's account, and what was typed."""
    for flag in request.given:
        if flag not in KNOWN:
            raise UsageError(f"--option {flag}: {unknown('sbatch option', flag, KNOWN)}")
        if flag == "array":
            raise UsageError(f"--option {flag}: several jobs would make the same tokens; leave it out")
    account = request.site.sbatch.get(_ACCOUNT)
    return {
        "job-name": request.name,
        **({_ACCOUNT: str(account)} if account else {}),
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(request.cores),
        "time": request.time,
        "output": "slurm_%j.log",
        **request.given,
    }
