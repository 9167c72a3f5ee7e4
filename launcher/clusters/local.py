"""This machine: the job script as a child in a session of its own, so that it outlives a closed terminal."""

import os
import signal
import subprocess
from pathlib import Path

from launcher.clusters.base import RunState
from launcher.errors import ClusterError
from launcher.run import RunDir


class Local:
    """The machine that the command is typed on. A job id is the process id of the job script."""

    @staticmethod
    def submit_command(run: RunDir) -> list[str]:
        """bash with the run's own job script."""
        return ["bash", str(run.path / "job.sbatch")]

    def submit(self, run: RunDir) -> str:
        """The process id of the started script; its output goes to logs/supervisor.log."""
        return str(self.start(run).pid)

    def start(self, run: RunDir) -> subprocess.Popen[bytes]:
        """The started script, for a caller that stays to wait for it."""
        run.logs.mkdir(exist_ok=True)
        with (run.logs / "supervisor.log").open("ab") as log:
            return subprocess.Popen(
                self.submit_command(run),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def state(self, job_id: str) -> RunState | None:
        """RUNNING while the process lives, LOST when it is gone."""
        return RunState.RUNNING if _is_supervisor(job_id) else RunState.LOST

    def cancel(self, job_id: str) -> None:
        """SIGTERM to the supervisor, which ends its ranks."""
        if not _is_supervisor(job_id):
            return
        try:
            os.kill(int(job_id), signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError:
            raise ClusterError(f"process {job_id} belongs to another user; ask them to cancel it") from None


def _is_supervisor(job_id: str) -> bool:
    """Whether the process is ours still, and not another one that was given the same id."""
    try:
        words = Path(f"/proc/{job_id}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"launcher.supervise" in words or any(word.endswith(b"job.sbatch") for word in words)
