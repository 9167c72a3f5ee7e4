"""Queries about jobs with squeue, sacct and scontrol, and the meaning of Slurm's output about a job."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from launcher.clusters.base import RunState
from launcher.clusters.job import JobRecord
from launcher.clusters.slurm.client import ask, is_id, split
from launcher.clusters.slurm.options import comment_of
from launcher.clusters.slurm.shell import clusters_of, directives
from launcher.config.spelling import limit_s
from launcher.run import JOB_SCRIPT, job_number

# In order of precedence. PREEMPTED is a job that was not queued again. Source: squeue(1), JOB STATE CODES.
_WORDS = {
    RunState.PENDING: "PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD",
    RunState.RUNNING: "RUNNING CONFIGURING COMPLETING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED",
    RunState.FINISHED: "COMPLETED",
    RunState.CANCELLED: "CANCELLED",
    RunState.TIMEOUT: "TIMEOUT DEADLINE",
    RunState.FAILED: "FAILED NODE_FAIL BOOT_FAIL OUT_OF_MEMORY LAUNCH_FAILED PREEMPTED",
}
_SCRIPT_ENDED = ("NonZeroExitCode", "JobLaunchFailure", "RaisedSignal")
"""How the reason of a job begins whose script has failed or was killed; that of a cancelled one is None. Source: seen with
22.05, which says JobLaunchFailure of a killed script; for newer versions, squeue(1)."""
_HOST_BACK = "0:1"
"""Exit code, while it ends, of a job whose script was lost with its host, which has booted again before Slurm took it for down:
"Batch JobId missing from batch node". A cancelled job has 0:0 without its batch host, else 0:15. Seen with 22.05."""
_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}


def states(job_ids: Sequence[str], timeout_s: float) -> dict[str, RunState | None]:
    """The state of each job from squeue, otherwise from sacct. LOST if squeue answers that it has no such job and sacct has no
    record of it; None if the state is unknown.

    squeue is called once for each cluster that the ids name, and separately for tasks of arrays.
    """
    found: dict[str, RunState | None] = {}
    alike: dict[tuple[str, bool], list[str]] = {}
    for job_id in job_ids:
        if not is_id(job_id):
            found[job_id] = None
            continue
        alike.setdefault((job_id.partition(";")[2], "_" in job_id), []).append(job_id)
    for own in alike.values():
        queued = _queued(own, "%T", timeout_s)
        for job_id in own:
            words = None if queued is None else queued.get(job_number(job_id), [])
            state = parse_states(words or []) or _recorded(job_id, timeout_s)
            found[job_id] = RunState.LOST if state is None and words == [] else state
    return found


def reasons(job_ids: Sequence[str], timeout_s: float) -> dict[str, str]:
    """Job id -> why the job waits, such as `Priority` or `launch failed requeued held`. Source: squeue(1), JOB REASON CODES."""
    found: dict[str, str] = {}
    for job_id in job_ids:
        answer = (_queued([job_id], "%r", timeout_s) or {}).get(job_number(job_id), [])
        if answer and answer[0].strip("()") not in ("", "None"):
            found[job_id] = answer[0].strip("()")
    return found


def expected_starts(job_ids: Sequence[str], timeout_s: float) -> dict[str, float]:
    """Job id -> when the job is expected to start; without jobs that the backfill scheduler has not planned yet ("N/A").
    Source: squeue(1), %S."""
    found: dict[str, float] = {}
    for job_id in job_ids:
        told = (_queued([job_id], "%S", timeout_s) or {}).get(job_number(job_id), [])
        with contextlib.suppress(IndexError, ValueError):
            found[job_id] = datetime.fromisoformat(told[0]).timestamp()
    return found


def jobs_of(folder: Path, timeout_s: float) -> list[str] | None:
    """Ids of the queued and running jobs of that run dir, with one id per task of an array; None for no answer.

    They are found by the comment that the plan gives them, or by their working directory if a site's plugin has changed it.
    All clusters to which the run's job script, or the shell, submits are asked.
    """
    path, found = str(folder), list[str]()
    for cluster in _clusters_of(folder):
        option = ["--clusters", cluster] if cluster else []
        done = ask(["squeue", "--me", "--noheader", "--format=%F|%Z|%k", *option], timeout_s)
        if done is None or done.returncode:
            return None
        jobs = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
        suffix = f";{cluster}" if cluster else ""
        found += [
            job_id + suffix
            for job_id, place, comment in jobs
            if place == path or comment.endswith(comment_of(path))
        ]
    return found


def record(job_id: str, timeout_s: float) -> JobRecord | None:
    """The job as scontrol shows it; None for no answer."""
    number, cluster = split(job_id)
    done = ask(["scontrol", *cluster, "show", "job", "--oneliner", number], timeout_s)
    return None if done is None or done.returncode else parse_record(done.stdout)


def ends(job_id: str, timeout_s: float) -> float | None:
    """The time of the job's limit (time.time()); None for no limit and for no answer."""
    number, cluster = split(job_id)
    done = ask(["squeue", "--noheader", "--jobs", number, "--format=%e", *cluster], timeout_s)
    if done and done.returncode == 0:
        with contextlib.suppress(ValueError, IndexError):
            # with --clusters, squeue first prints a line that names the cluster
            return datetime.fromisoformat(done.stdout.split()[-1]).timestamp()
    return None


def _clusters_of(folder: Path) -> list[str]:
    """Names of the clusters to which the run can have been submitted; [""] is the one of this machine."""
    return clusters_of(directives(folder / JOB_SCRIPT), os.environ).split(",")


def _queued(job_ids: Sequence[str], field: str, timeout_s: float) -> dict[str, list[str]] | None:
    """Number -> the values of a squeue field, for the jobs that squeue knows; None for no answer. Either all of the jobs are
    tasks of arrays, or none is.

    --json is not used: with it, 22.05 prints every job of the cluster, whatever --jobs says.
    """
    numbers, cluster = ",".join(job_number(job_id) for job_id in job_ids), split(job_ids[0])[1]
    name = "%F_%K" if "_" in numbers else "%A"
    command = [
        "squeue",
        "--noheader",
        "--states=all",
        f"--format={name}|{field}",
        "--jobs",
        numbers,
        *cluster,
    ]
    done = ask(command, timeout_s)
    if done is None or done.returncode:
        return {} if done and "Invalid job id specified" in done.stderr else None
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        number, bar, word = line.strip().partition("|")
        if bar:
            found.setdefault(number, []).append(word)
    return found if found or not done.stdout.strip() else None  # other output is not an answer


def _recorded(job_id: str, timeout_s: float) -> RunState | None:
    """The state in the job's newest accounting record: each requeue starts a new record."""
    number, cluster = split(job_id)
    options = ["--noheader", "--parsable2", "--allocations", "--duplicates", "--format=State"]
    done = ask(["sacct", *options, "--jobs", number, *cluster], timeout_s)
    lines = done.stdout.strip().splitlines() if done and done.returncode == 0 else []
    return parse_state(lines[-1]) if lines else None


def parse_state(text: str) -> RunState | None:
    """The state in a line of sacct, such as `CANCELLED by 1000` or `COMPLETED+`; None for an unknown word."""
    return parse_states([word.rstrip("+") for word in text.split()[:1]])


def parse_states(words: Sequence[str]) -> RunState | None:
    """The state that follows from a job's state words; None for unknown words.

    The earliest stage wins, also for several jobs of one id: [COMPLETED, PENDING] is PENDING. A REVOKED
    job runs on another cluster of a federation, so this cluster does not know its state.
    """
    known = [_STATES[word] for word in words if word in _STATES and "REVOKED" not in words]
    return min(known, key=list(_WORDS).index, default=None)


def parse_record(text: str) -> JobRecord | None:
    """The job in a line of `scontrol show job --oneliner`; None for anything else.

    The restart count of a job that Slurm takes off its nodes to queue it again increases at once; that of a cancelled job does
    not. Both are COMPLETING while they end (observed with 22.05).
    """
    facts = {key: value for key, equals, value in (word.partition("=") for word in text.split()) if equals}
    if "JobState" not in facts:
        return None
    running, reason = facts["JobState"] == "RUNNING", facts.get("Reason", "")
    return JobRecord(
        running=running,
        restarts=int(facts.get("Restarts", "0")),
        preempted=facts.get("PreemptTime", "None") not in ("None", "Unknown", "N/A"),
        ends=_ends(facts),
        batch_host=facts.get("BatchHost", ""),
        nodes=facts.get("NodeList", ""),
        script_ended=not running
        and (reason.startswith(_SCRIPT_ENDED) or facts.get("ExitCode") == _HOST_BACK),
    )


def _ends(facts: Mapping[str, str]) -> float | None:
    """The time of the job's limit. The EndTime of a job that already ends is now, so the limit is computed from its start."""
    try:
        if facts["JobState"] == "RUNNING":
            return datetime.fromisoformat(facts["EndTime"]).timestamp()
        return datetime.fromisoformat(facts["StartTime"]).timestamp() + limit_s(facts["TimeLimit"])
    except (KeyError, ValueError):
        return None
