"""Slurm: sbatch, squeue, sacct, scancel."""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from launcher.clusters.base import RunState
from launcher.errors import ClusterError
from launcher.run import RunDir, job_number

_TIMEOUT_S = 30.0
KILL_WAIT_S = 30.0
"""Slurm's default. Source: slurm.conf(5), KillWait."""

# "id;cluster" where sbatch was told a cluster, or the clusters are federated. Source: sbatch(1), --parsable.
_JOB_ID = re.compile(r"\d+(;\S+)?")

# Source: squeue(1), JOB STATE CODES. PREEMPTED is a job that was not queued again.
# In the order in which they count.
_WORDS = {
    RunState.PENDING: "PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD",
    RunState.RUNNING: "RUNNING CONFIGURING COMPLETING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED",
    RunState.FINISHED: "COMPLETED",
    RunState.CANCELLED: "CANCELLED",
    RunState.TIMEOUT: "TIMEOUT DEADLINE",
    RunState.FAILED: "FAILED NODE_FAIL BOOT_FAIL OUT_OF_MEMORY LAUNCH_FAILED PREEMPTED",
}
_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}


class Refused(ClusterError):
    """sbatch said no: nothing was queued."""


class Slurm:
    """The cluster whose commands are on PATH."""

    def __init__(self, timeout_s: float = _TIMEOUT_S) -> None:
        if shutil.which("sbatch") is None:
            raise ClusterError(
                "cluster=slurm, but sbatch is not on PATH; log in to the cluster, or use cluster=local"
            )
        self.timeout_s = timeout_s

    @staticmethod
    def submit_command(run: RunDir) -> list[str]:
        """sbatch with the run's own job script."""
        return ["sbatch", "--parsable", str(run.path / "job.sbatch")]

    def submit(
        self, run: RunDir, *options: str, keep_open: int | None = None, script_name: str = "job.sbatch"
    ) -> str:
        """The job id that sbatch gave. Refused with sbatch's own words where nothing was queued; any other ClusterError
        may have left a job. sbatch holds the descriptor `keep_open` as long as it lives.
        """
        script = run.path / script_name
        kept = () if keep_open is None else (keep_open,)
        done = _ask([*self.submit_command(run)[:-1], *options, str(script)], self.timeout_s, kept)
        if done is None:
            raise ClusterError(
                f"sbatch did not answer within {self.timeout_s:g} s and may still have queued {script}; "
                "type the command again: it finds the job, or queues it"
            )
        if done.returncode and "timed out" in done.stderr:
            raise ClusterError(
                f"sbatch {script}: {_words_of(done)}, and it may have been queued; "
                "type the command again: it finds the job, or queues it"
            )
        if done.returncode:
            raise Refused(f"sbatch refused {script}: {_words_of(done)}")
        # A site's wrapper may print lines of its own.
        job_ids = [line.strip() for line in done.stdout.splitlines() if _JOB_ID.fullmatch(line.strip())]
        if not job_ids:
            raise ClusterError(f"sbatch accepted {script} but printed no job id: {done.stdout.strip()!r}")
        return job_ids[-1]

    def jobs_of(self, run: RunDir) -> list[str] | None:
        """Ids of the queued and running jobs of that run dir, an array's once for each task; None for no answer.

        By the comment that the plan gives them, or by their working directory where a site's plugin has changed the comment.
        """
        done = _ask(["squeue", "--me", "--noheader", "--format=%F|%Z|%k"], self.timeout_s)
        if done is None or done.returncode:
            return None
        jobs = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
        path = str(run.path)
        return [
            job_id
            for job_id, folder, comment in jobs
            if folder == path or comment.endswith(f"launcher:{path}")
        ]

    def state(self, job_id: str) -> RunState | None:
        """The job's state by squeue, then sacct; None where neither could tell.

        LOST where squeue answers that it has no such job and sacct has no record of it.
        """
        return self.states([job_id])[job_id]

    def states(self, job_ids: Sequence[str]) -> dict[str, RunState | None]:
        """`state` of each, asked about at once, or once for each cluster that the ids name; tasks of arrays by themselves."""
        found: dict[str, RunState | None] = {}
        alike: dict[tuple[str, bool], list[str]] = {}
        for job_id in job_ids:
            alike.setdefault((job_id.partition(";")[2], "_" in job_id), []).append(job_id)
        for own in alike.values():
            queued = self._queued(own)
            for job_id in own:
                words = None if queued is None else queued.get(job_number(job_id), [])
                state = parse_states(words or []) or self._recorded(job_id)
                found[job_id] = RunState.LOST if state is None and words == [] else state
        return found

    def cancel(self, job_id: str) -> None:
        """scancel, batch script included; ClusterError with scancel's words when it refuses."""
        number, cluster = _split(job_id)
        done = _ask(["scancel", *cluster, number], self.timeout_s)
        if done is None:
            raise ClusterError(f"scancel {job_id} is not there or did not answer within {self.timeout_s:g} s")
        ended = ("Invalid job id specified", "already completing or completed")
        if done.returncode and not any(words in done.stderr for words in ended):
            raise ClusterError(f"scancel refused job {job_id}: {_words_of(done)}")

    def largest_array(self) -> int:
        """MaxArraySize: an array's indices stay below it. 1001, Slurm's default, where it does not answer."""
        done = _ask(["scontrol", "show", "config"], self.timeout_s)
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE) if done else None
        return int(found[1]) if found else 1001

    def signal(self, job_id: str, name: str) -> None:
        """Sends a signal to everything of a job, as a pre-emption does; ClusterError with scancel's words when it refuses."""
        number, cluster = _split(job_id)
        done = _ask(["scancel", f"--signal={name}", "--full", *cluster, number], self.timeout_s)
        if done is None or done.returncode:
            raise ClusterError(
                f"scancel --signal={name} {job_id}: {_words_of(done) if done else 'no answer'}"
            )

    def signal_batch(self, job_id: str, name: str) -> None:
        """Sends a signal to the batch script alone, as Slurm does before the time limit; errors as `signal`."""
        number, cluster = _split(job_id)
        done = _ask(["scancel", f"--signal={name}", "--batch", *cluster, number], self.timeout_s)
        if done is None or done.returncode:
            raise ClusterError(
                f"scancel --signal={name} --batch {job_id}: {_words_of(done) if done else 'no answer'}"
            )

    def requeue(self, job_id: str) -> None:
        """Ends the job and queues it again, from within it; ClusterError where this site does not allow it."""
        done = _ask(["scontrol", "requeue", job_id], self.timeout_s)
        if done is None or done.returncode:
            raise ClusterError(f"scontrol requeue {job_id}: {_words_of(done) if done else 'no answer'}")

    def forbid_requeue(self, job_id: str) -> None:
        """Tells Slurm not to queue the job again by itself; where it does not answer, the run's lease keeps the job out."""
        _ask(["scontrol", "update", f"JobId={job_id}", "Requeue=0"], self.timeout_s)

    def facts(self, job_id: str) -> dict[str, str]:
        """The job's fields in scontrol's words, such as JobState and Restarts; empty for no answer."""
        done = _ask(["scontrol", "show", "job", "--oneliner", job_id], self.timeout_s)
        if done is None or done.returncode:
            return {}
        pairs = (word.partition("=") for word in done.stdout.split())
        return {key: value for key, equals, value in pairs if equals}

    def _queued(self, job_ids: Sequence[str]) -> dict[str, list[str]] | None:
        """Number -> state in words, of those of the jobs that squeue has, which are all tasks of arrays or none is; None for
        no answer.

        Not with --json: 22.05 then prints every job of the cluster, whatever --jobs says.
        """
        numbers, cluster = ",".join(job_number(job_id) for job_id in job_ids), _split(job_ids[0])[1]
        name = "%F_%K" if "_" in numbers else "%A"
        command = ["squeue", "--noheader", "--states=all", f"--format={name}|%T", "--jobs", numbers, *cluster]
        done = _ask(command, self.timeout_s)
        if done is None or done.returncode:
            return {} if done and "Invalid job id specified" in done.stderr else None
        found: dict[str, list[str]] = {}
        for line in done.stdout.splitlines():
            number, bar, word = line.strip().partition("|")
            if bar:
                found.setdefault(number, []).append(word)
        return found if found or not done.stdout.strip() else None  # words of something else are no answer

    def _recorded(self, job_id: str) -> RunState | None:
        """The state in the job's newest record of the accounting: each requeue began a new one."""
        number, cluster = _split(job_id)
        options = ["--noheader", "--parsable2", "--allocations", "--duplicates", "--format=State"]
        done = _ask(["sacct", *options, "--jobs", number, *cluster], self.timeout_s)
        lines = done.stdout.strip().splitlines() if done and done.returncode == 0 else []
        return parse_state(lines[-1]) if lines else None


def parse_state(text: str) -> RunState | None:
    """The state in a line of sacct, such as `CANCELLED by 1000` or `COMPLETED+`; None for an unknown word."""
    return parse_states([word.rstrip("+") for word in text.split()[:1]])


def parse_states(words: Sequence[str]) -> RunState | None:
    """The one state of a job's words; None for unknown ones.

    What comes next counts, as with several jobs of one id: [COMPLETED, PENDING] is PENDING. A REVOKED
    job runs on another cluster of a federation, and this one does not know how it fares.
    """
    known = [_STATES[word] for word in words if word in _STATES and "REVOKED" not in words]
    return min(known, key=list(_WORDS).index, default=None)


def requeued_job(environ: Mapping[str, str]) -> str | None:
    """The id of the job that this process is in where Slurm has queued it again; None elsewhere."""
    again = environ.get("SLURM_RESTART_COUNT", "0") != "0"
    return environ.get("SLURM_JOB_ID") or None if again else None


def own_job_id(environ: Mapping[str, str]) -> str | None:
    """The id of the job that this process is in; ARRAY_INDEX in an array, None outside of any job.

    One task of an array has the array's own number as its SLURM_JOB_ID, and squeue, scontrol and scancel take that number for
    all of its tasks. Source: sbatch(1), JOB ARRAYS; seen with 22.05.
    """
    array, index = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else environ.get("SLURM_JOB_ID")


def host_names(nodelist: str) -> list[str]:
    """The host names of a Slurm node list such as `n[01-04],m2`; scontrol expands it, and where it does not there are none."""
    done = _ask(["scontrol", "show", "hostnames", nodelist])
    return [] if done is None or done.returncode else done.stdout.split()


def first_host(nodelist: str) -> str:
    """The first of them; ClusterError where there is none."""
    hosts = host_names(nodelist)
    if not hosts:
        raise ClusterError(
            f"scontrol could not expand SLURM_JOB_NODELIST={nodelist!r}; is scontrol on PATH of the nodes?"
        )
    return hosts[0]


def time_limits(job_id: str) -> tuple[float | None, float]:
    """When the job ends (time.time(); None for no limit), and Slurm's KillWait in seconds: from SIGTERM to SIGKILL.

    Where Slurm does not answer: no limit, and the 30 s that KillWait is by default.
    """
    done = _ask(["squeue", "--noheader", "--jobs", job_id, "--format=%e"], 10)
    ends: float | None = None
    if done and done.returncode == 0:
        with contextlib.suppress(ValueError):
            ends = datetime.fromisoformat(done.stdout.strip()).timestamp()
    return ends, kill_wait_s(10)


def kill_wait_s(timeout_s: float) -> float:
    """Slurm's KillWait in seconds; its default where Slurm does not say."""
    done = _ask(["scontrol", "show", "config"], timeout_s)
    found = re.search(r"^KillWait\s*=\s*(\d+)", done.stdout, re.MULTILINE) if done else None
    return float(found[1]) if found else KILL_WAIT_S


def is_configured() -> bool:
    """Whether sbatch is on PATH and belongs to a cluster.

    Debian's package alone, without any slurm.conf, does not count. A controller that does not answer still
    counts: a cluster that is down for a minute is a cluster.
    """
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return False
    scontrol = Path(sbatch).with_name("scontrol")
    configurations = (Path("/etc/slurm/slurm.conf"), Path("/run/slurm/conf/slurm.conf"))
    if not scontrol.exists() or any(path.exists() for path in configurations):
        return True
    done = _ask([str(scontrol), "ping"])
    return done is None or "configuration source" not in done.stderr + done.stdout


def _split(job_id: str) -> tuple[str, list[str]]:
    """The number of a job id, and the option that names its cluster where the id does."""
    cluster = job_id.partition(";")[2]
    return job_number(job_id), ["--clusters", cluster] if cluster else []


def _words_of(done: subprocess.CompletedProcess[str]) -> str:
    """Why a command failed, in its own words on one line."""
    return "; ".join(done.stderr.split("\n")).strip("; ") or f"exit code {done.returncode}"


def _ask(
    command: list[str], timeout_s: float = _TIMEOUT_S, keep_open: tuple[int, ...] = ()
) -> subprocess.CompletedProcess[str] | None:
    """The finished command; None when it is not there or does not answer in time."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            pass_fds=keep_open,
        )
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return None
