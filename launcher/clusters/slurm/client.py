"""Calls of Slurm's commands, and the actions on jobs: sbatch, scancel, scontrol requeue."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.clusters.base import AGAIN, GRACE_S, Refused
from launcher.clusters.slurm.shell import clusters_of, directives, for_questions, for_sbatch
from launcher.errors import ClusterError

TIMEOUT_S = 30.0
_ID = re.compile(r"[0-9]{1,18}(_[0-9]{1,18})?(;[A-Za-z0-9][A-Za-z0-9_.-]{0,63})?")
# "id;cluster" if sbatch was given a cluster, or the clusters are federated. Source: sbatch(1), --parsable.
_JOB_ID = re.compile(r"\d+(;\S+)?")
_TRANSIENT = (
    "Unable to contact slurm controller",
    "Slurm backup controller in standby mode",
    "Slurm temporarily unable to accept job",
    "job submit limit",
    "QOSMaxSubmitJobPerUserLimit",
    "AssocMaxSubmitJobLimit",
)
"""Parts of sbatch's messages after which nothing was queued but the same job may be accepted later. Source: Slurm,
src/common/slurm_errno.c and src/slurmctld/acct_policy.c."""
_SAID = re.compile(r"Submitted batch job (\d+)(?: on cluster (\S+))?")


def ask(
    command: list[str],
    timeout_s: float = TIMEOUT_S,
    keep_open: tuple[int, ...] = (),
    environ: Mapping[str, str] | None = None,
    given: str | None = None,
) -> subprocess.CompletedProcess[str] | None:
    """The finished command; None if it is not installed or does not answer in time. By default its environment has no
    variable that changes an answer. `given` is the stdin of the command."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            stdin=subprocess.DEVNULL if given is None else None,
            input=given,
            pass_fds=keep_open,
            env=for_questions(os.environ) if environ is None else environ,
        )
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return None


def words_of(done: subprocess.CompletedProcess[str] | None) -> str:
    """Why a command failed: its own message on one line."""
    if done is None:
        return "no answer"
    return "; ".join(done.stderr.split("\n")).strip("; ") or f"exit code {done.returncode}"


def is_id(job_id: str) -> bool:
    """Whether it is a job id of Slurm: digits, `_` and a task's index, `;` and a cluster. It may come from a file of another
    user."""
    return _ID.fullmatch(job_id) is not None


def split(job_id: str) -> tuple[str, list[str]]:
    """The number of a job id, and the option for its cluster if the id names one; ClusterError for any other text, which
    the command could take for an option."""
    if not is_id(job_id):
        raise ClusterError(
            f"{job_id[:80]!r} is not a job id of Slurm; was job.json or events.jsonl edited? squeue --me shows your jobs"
        )
    number, _, cluster = job_id.partition(";")
    return number, ["--clusters", cluster] if cluster else []


def is_configured() -> bool:
    """Whether sbatch is on PATH and belongs to a cluster.

    Debian's package alone, without any slurm.conf, does not count. A controller that does not answer still
    counts: a cluster can be down for a minute.
    """
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return False
    scontrol = Path(sbatch).with_name("scontrol")
    configurations = (Path("/etc/slurm/slurm.conf"), Path("/run/slurm/conf/slurm.conf"))
    if not scontrol.exists() or any(path.exists() for path in configurations):
        return True
    done = ask([str(scontrol), "ping"])
    return done is None or "configuration source" not in done.stderr + done.stdout


def on(clusters: str) -> list[str]:
    """The option that asks these clusters; without a name, those to which sbatch submits in this shell. In a job it is none:
    the job's own cluster answers."""
    named = clusters or ("" if "SLURM_JOB_ID" in os.environ else clusters_of({}, os.environ))
    return [f"--clusters={named}"] if named else []


def largest_array(timeout_s: float, clusters: str = "") -> int:
    """MaxArraySize, the exclusive upper bound of an array's indices. 1001, Slurm's default, if Slurm does not answer."""
    return int(_number("MaxArraySize", timeout_s, clusters) or 1001)


def kill_wait_s(timeout_s: float, clusters: str = "") -> float:
    """KillWait: seconds from SIGTERM to SIGKILL. 30, Slurm's default, if Slurm does not answer."""
    return float(_number("KillWait", timeout_s, clusters) or GRACE_S)


def cred_expire_s(timeout_s: float) -> float:
    """The seconds that Slurm adds to the begin time of a job that is queued again. 120, Slurm's default, if it does not answer.

    Source: slurm.conf(5), AuthInfo, cred_expire; seen with 22.05: a second more.
    """
    found = re.search(r"cred_expire=(\d+)", settings(timeout_s).get("AuthInfo", ""))
    return float(found[1] if found else 120)


def settings(timeout_s: float, where: Sequence[str] = ()) -> dict[str, str]:
    """The settings of slurm.conf(5) by name; empty if Slurm does not answer. `where`: the option that names its cluster."""
    done = ask(["scontrol", *where, "show", "config"], timeout_s)
    pairs = (line.partition("=") for line in (done.stdout.splitlines() if done else ()))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _number(name: str, timeout_s: float, clusters: str) -> str | None:
    """The number that a setting begins with; None for no answer."""
    found = re.match(r"\d+", settings(timeout_s, on(clusters)).get(name, ""))
    return found[0] if found else None


def host_names(nodes: str) -> list[str]:
    """The host names of a node list such as `n[01-04],m2`, expanded by scontrol; empty if scontrol fails."""
    done = ask(["scontrol", "show", "hostnames", nodes])
    return [] if done is None or done.returncode else done.stdout.split()


def submit_command(script: Path, *options: str) -> list[str]:
    """The argv of sbatch with a job script."""
    return ["sbatch", "--parsable", *options, str(script)]


def submit(script: Path, options: Sequence[str], keep_open: int | None, timeout_s: float) -> str:
    """The job id from sbatch. Refused with sbatch's own message if nothing was queued; after any other ClusterError a job can
    be queued."""
    kept = () if keep_open is None else (keep_open,)
    environ = for_sbatch(os.environ, directives(script))
    done = ask(submit_command(script, *options), timeout_s, kept, environ)
    if done is None:
        raise ClusterError(
            f"sbatch did not answer within {timeout_s:g} s but may have queued {script}; {AGAIN}"
        )
    if done.returncode and "timed out" in done.stderr:
        raise ClusterError(f"sbatch {script}: {words_of(done)}; the job may be queued all the same; {AGAIN}")
    if done.returncode:
        transient = any(said in done.stderr for said in _TRANSIENT)
        raise Refused(f"sbatch refused {script}: {words_of(done)}", transient=transient)
    # A site's wrapper can print lines of its own.
    job_ids = [line.strip() for line in done.stdout.splitlines() if _JOB_ID.fullmatch(line.strip())]
    if not job_ids:  # a wrapper that leaves out --parsable
        job_ids = [f"{said[1]};{said[2]}" if said[2] else said[1] for said in _SAID.finditer(done.stdout)]
    if not job_ids:
        raise ClusterError(
            f"sbatch accepted {script} but printed no job id: {done.stdout.strip()!r}; {AGAIN}"
        )
    return job_ids[-1]


def check_can_start(script: Path, options: Sequence[str], timeout_s: float) -> None:
    """Refused with sbatch's message if the nodes that are up now are too few for the job. Nothing is queued. If sbatch does not
    answer, the job counts as one that can start."""
    done = ask(
        submit_command(script, "--test-only", *options),
        timeout_s,
        (),
        for_sbatch(os.environ, directives(script)),
    )
    if done is not None and done.returncode and "allocation failure" in done.stderr:
        raise Refused(f"sbatch {' '.join(options)} {script}: {words_of(done)}")


def excluded(script: Path) -> str:
    """The hosts that a job script excludes; empty for none."""
    return directives(script).get("exclude", "")


def cancel(job_id: str, timeout_s: float) -> None:
    """Cancels the job with its batch script; ClusterError with scancel's message if scancel refuses."""
    number, cluster = split(job_id)
    done = ask(["scancel", *cluster, number], timeout_s)
    if done is None:
        raise ClusterError(
            f"scancel {job_id}: scancel is not installed or did not answer within {timeout_s:g} s; type the command again on a "
            "login node"
        )
    ended = ("Invalid job id specified", "already completing or completed")
    if done.returncode and not any(words in done.stderr for words in ended):
        raise ClusterError(f"scancel refused job {job_id}: {words_of(done)}")


def signal(job_id: str, name: str, batch_only: bool, timeout_s: float) -> None:
    """Sends a signal to all processes of a job, as a pre-emption does, or only to the batch script, as before the time limit;
    ClusterError with scancel's message if it refuses."""
    number, cluster = split(job_id)
    whom = "--batch" if batch_only else "--full"
    done = ask(["scancel", f"--signal={name}", whom, *cluster, number], timeout_s)
    if done is None or done.returncode:
        raise ClusterError(f"scancel --signal={name} {whom} {job_id}: {words_of(done)}")


def requeue(job_id: str, timeout_s: float) -> None:
    """Ends the job and queues it again; ClusterError if this site does not allow it."""
    number, cluster = split(job_id)
    done = ask(["scontrol", *cluster, "requeue", number], timeout_s)
    if done is None or done.returncode:
        raise ClusterError(f"scontrol requeue {job_id}: {words_of(done)}")


def forbid_requeue(job_id: str, timeout_s: float) -> None:
    """Tells Slurm not to queue the job again by itself; if Slurm does not answer, the run's lease keeps the old job out."""
    number, cluster = split(job_id)
    ask(["scontrol", *cluster, "update", f"JobId={number}", "Requeue=0"], timeout_s)
