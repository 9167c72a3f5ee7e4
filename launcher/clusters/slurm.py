"""Slurm: sbatch, squeue, sacct, scancel."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

from launcher.clusters.base import RunState
from launcher.errors import ClusterError
from launcher.run import RunDir

_TIMEOUT_S = 30

# Source: squeue(1), JOB STATE CODES.
_STATES = {
    **dict.fromkeys(
        ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "PREEMPTED"),
        RunState.PENDING,
    ),
    **dict.fromkeys(
        ("RUNNING", "CONFIGURING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"),
        RunState.RUNNING,
    ),
    "COMPLETED": RunState.FINISHED,
    "CANCELLED": RunState.CANCELLED,
    "REVOKED": RunState.CANCELLED,
    "TIMEOUT": RunState.TIMEOUT,
    "DEADLINE": RunState.TIMEOUT,
    **dict.fromkeys(("FAILED", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY", "LAUNCH_FAILED"), RunState.FAILED),
}


class Slurm:
    """The cluster whose commands are on PATH."""

    def __init__(self) -> None:
        if shutil.which("sbatch") is None:
            raise ClusterError("cluster=slurm, but sbatch is not on PATH; log in to the cluster, or use cluster=local")

    @staticmethod
    def submit_command(run: RunDir) -> list[str]:
        """sbatch with the run's own job script."""
        return ["sbatch", "--parsable", str(run.path / "job.sbatch")]

    def submit(self, run: RunDir) -> str:
        """The job id that sbatch gave; ClusterError with sbatch's own words when it refuses."""
        done = _ask(self.submit_command(run))
        if done is None or done.returncode:
            why = done.stderr.strip().replace("\n", "; ") if done else f"no answer within {_TIMEOUT_S} s"
            raise ClusterError(f"sbatch refused {run.path / 'job.sbatch'}: {why}")
        # "id" or "id;cluster"; a site's wrapper may print lines of its own before it
        lines = done.stdout.strip().splitlines()
        job_id = lines[-1].partition(";")[0].strip() if lines else ""
        if not job_id.isdigit():
            raise ClusterError(f"sbatch accepted {run.path / 'job.sbatch'} but printed no job id: {done.stdout.strip()!r}")
        return job_id

    def state(self, job_id: str) -> RunState | None:
        """The job's state by squeue, then sacct; None where neither answered; LOST where both know no such job."""
        queue = _ask(["squeue", "--json", "--jobs", job_id])
        if queue is not None and queue.returncode == 0:
            state = parse_squeue(queue.stdout, job_id)
            if state is not None:
                return state
        elif queue is not None and _says_unsupported(queue.stderr):
            queue = _ask(["squeue", "--noheader", "--format=%T", "--jobs", job_id])
            if queue is not None and queue.returncode == 0 and queue.stdout.strip():
                return parse_state(queue.stdout)
        left = queue is not None and (queue.returncode == 0 or "Invalid job id" in queue.stderr)
        record = _ask(["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", "--format=State", "--jobs", job_id])
        if record is not None and record.returncode == 0 and record.stdout.strip():
            return parse_state(record.stdout.strip().splitlines()[-1])
        return RunState.LOST if left else None

    def cancel(self, job_id: str) -> None:
        """scancel, batch script included; ClusterError with scancel's words when it refuses."""
        done = _ask(["scancel", job_id])
        if done is None or (done.returncode and "Invalid job id" not in done.stderr):
            why = done.stderr.strip() if done else f"no answer within {_TIMEOUT_S} s"
            raise ClusterError(f"scancel refused job {job_id}: {why}")


def parse_state(text: str) -> RunState | None:
    """The state in a line of squeue or sacct, such as `CANCELLED by 1000` or `COMPLETED+`; None for an unknown word."""
    words = text.split()
    return _STATES.get(words[0].rstrip("+")) if words else None


def parse_squeue(text: str, job_id: str) -> RunState | None:
    """The state of `job_id` in the output of `squeue --json`; None when it is not in it.

    job_state is a string in the openapi plugins up to v0.0.39 (Slurm 22.05, 23.02) and a list of a state and its flags from
    v0.0.40 (23.11) on.
    """
    try:
        jobs: Any = json.loads(text)["jobs"]
    except (ValueError, KeyError, TypeError):
        return None
    for job in cast("list[dict[str, Any]]", jobs):
        if str(job.get("job_id")) == job_id:
            state: Any = job.get("job_state")
            words = [state] if isinstance(state, str) else [str(word) for word in state or []]
            known = [_STATES[word] for word in words if word in _STATES]
            # [COMPLETED, REQUEUED]: what comes next counts
            return RunState.PENDING if RunState.PENDING in known else (known[0] if known else None)
    return None


def first_host(nodelist: str) -> str:
    """The first host name of a Slurm node list such as `n[01-04],m2`; scontrol expands it."""
    done = _ask(["scontrol", "show", "hostnames", nodelist])
    if done is None or done.returncode or not done.stdout.strip():
        raise ClusterError(f"scontrol could not expand SLURM_JOB_NODELIST={nodelist!r}; is scontrol on PATH of the nodes?")
    return done.stdout.split()[0]


def is_configured() -> bool:
    """Whether sbatch is on PATH and belongs to a cluster. Debian's package alone, without any slurm.conf, does not count.

    A controller that does not answer still counts: a cluster that is down for a minute is a cluster.
    """
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return False
    scontrol = Path(sbatch).with_name("scontrol")
    if not scontrol.exists() or any(Path(path).exists() for path in ("/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf")):
        return True
    done = _ask([str(scontrol), "ping"])
    return done is None or "configuration source" not in done.stderr + done.stdout


def _says_unsupported(stderr: str) -> bool:
    return any(word in stderr for word in ("unrecognized option", "invalid option", "Unable to find plugin", "serializer"))


def _ask(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """The finished command; None when it is not there or does not answer in time."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return None
