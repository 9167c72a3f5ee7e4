"""This machine: the job script is a child of the command. The job id is the process id of the job script."""

import os
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.clusters._here import StartedHere
from launcher.clusters.base import RunState
from launcher.clusters.job import Job
from launcher.clusters.pure import Options
from launcher.clusters.slurm.script import SlurmScript
from launcher.errors import ClusterError, PlanError
from launcher.processes import start_ticks
from launcher.run import JOB_SCRIPT

_PID = re.compile(r"[1-9][0-9]{0,9}")


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
            os.kill(int(job_id.partition(".")[0]), signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError:
            raise ClusterError(
                f"process {job_id.partition('.')[0]} belongs to another user; ask them to cancel it"
            ) from None

    def job(self, environ: Mapping[str, str]) -> Job | None:
        """None: if this process is in a job, that job does not belong to the run."""
        del environ


SPEC = Local()


def process_id(pid: str, started: int | None) -> str:
    """The id by which this cluster is asked about a process whose start is known: PID.TICKS."""
    return f"{pid}.{started}" if started and pid.isdecimal() else pid


def _is_supervisor(job_id: str) -> bool:
    """Whether the process is the supervisor and not a later one with the same id. It is recognised by its start time, or by its
    command if the start was not recorded."""
    pid, _, ticks = job_id.partition(".")
    if not _PID.fullmatch(pid):
        return False
    if ticks:
        return str(start_ticks(int(pid))) == ticks
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    scripts = words[0].endswith(b"bash") and any(
        word.rpartition(b"/")[2] == JOB_SCRIPT.encode() for word in words[1:2]
    )
    return b"launcher.supervise" in words or scripts
