"""This machine: the job script is a child of the command. The job id is the process id of the job script."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.clusters._here import StartedHere
from launcher.clusters.base import Options, RunState
from launcher.clusters.job import Job
from launcher.clusters.slurm.script import SlurmScript
from launcher.errors import ClusterError, PlanError
from launcher.run import JOB_SCRIPT


class Local(StartedHere, SlurmScript):
    """The machine on which the command runs. Its job scripts have a Slurm header, so that they can be queued too."""

    name = "local"
    title = "this machine"
    auto_order = 2
    one_machine = True

    def check_nodes(self, nodes: int) -> None:
        """Raises PlanError for more than one node."""
        if nodes > 1:
            raise PlanError(
                f"resources.nodes={nodes} needs Slurm, but this run stays on this machine "
                "(cluster=local: no Slurm cluster is configured here); use resources.nodes=1, cluster=slurm to plan for Slurm "
                "or for a dry run, or run it on a login node"
            )

    def with_notice(self, options: Options, seconds: int) -> dict[str, str]:
        """The options without a signal: there is no time limit."""
        del seconds
        return dict(options)

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """True, always."""
        del environ
        return True

    def states(self, job_ids: Sequence[str]) -> dict[str, RunState | None]:
        """RUNNING while the process lives, LOST when it is gone."""
        return {job_id: RunState.RUNNING if _is_supervisor(job_id) else RunState.LOST for job_id in job_ids}

    def cancel(self, job_id: str) -> None:
        """Sends SIGTERM to the supervisor, which ends its ranks."""
        if not _is_supervisor(job_id):
            return
        try:
            os.kill(int(job_id), signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError:
            raise ClusterError(f"process {job_id} belongs to another user; ask them to cancel it") from None

    def job(self, environ: Mapping[str, str]) -> Job | None:
        """None: if this process is in a job, that job is not the run's."""
        del environ


SPEC = Local()


def _is_supervisor(job_id: str) -> bool:
    """Whether the process is still ours, and not another one with the same id."""
    try:
        words = Path(f"/proc/{job_id}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"launcher.supervise" in words or any(word.endswith(JOB_SCRIPT.encode()) for word in words)
