"""The jobs of a sweep that a place has, and whether its trials can be started from here."""

from collections.abc import Mapping
from typing import Any

from launcher.clusters.allocation import Allocation
from launcher.clusters.slurm import Slurm
from launcher.errors import ClusterError, ConfigError
from launcher.run import job_number
from launcher.sweep.folder import SweepDir


def check_starts(sweep: SweepDir, spec: Mapping[str, Any]) -> None:
    """Before anything is changed: ConfigError of a dry run, ClusterError where an allocation's sweep is outside of one."""
    if spec["dry_run"]:
        raise ConfigError(f"{sweep.name} was a dry run; type its command without dry_run=true")
    if spec["cluster"] == "allocation":
        Allocation()


def queued_jobs(sweep: SweepDir, slurm: Slurm) -> list[str]:
    """Numbers of the sweep's arrays that Slurm still has; ClusterError where it does not say."""
    found = slurm.jobs_of(sweep.as_run)
    if found is None:
        raise ClusterError(
            f"Slurm does not say whether it has jobs of {sweep.name}; type the command again later"
        )
    return list(dict.fromkeys(job_number(job_id) for job_id in found))
