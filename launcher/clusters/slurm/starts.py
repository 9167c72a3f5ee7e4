"""When jobs would start, by `sbatch --test-only` and by the planned starts of the jobs that squeue lists before them."""

import contextlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from launcher.clusters.job import Start
from launcher.clusters.pure import Options
from launcher.clusters.slurm.client import ask, words_of
from launcher.clusters.slurm.script import header
from launcher.clusters.slurm.shell import clusters_of, for_sbatch
from launcher.config.spelling import limit_s
from launcher.units import plural

# "sbatch: Job 7 to start at 2026-11-29T03:00:00 using 8 processors on nodes n[1-2] in partition main", on stderr.
_STARTS = re.compile(r"to start at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:.* in partition (\S+))?")
_SILENT = (
    "timed out",
    "Unable to contact",
    "Connection refused",
    "configuration source",
    "Unable to process configuration",
)
"""Parts of sbatch's messages if it cannot reach a controller; any other message is about the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A waiting job of any user."""

    partitions: tuple[str, ...]
    nodes: int
    time_s: int | None
    """Its time limit; None without one."""
    starts: float | None
    """Its start as planned by the backfill scheduler; None if it is not planned."""


def when_starts(jobs: Sequence[Options], folder: str, timeout_s: float, freed: int = 0) -> list[Start]:
    """For each job with these options: when Slurm would start it. After the first question without an answer, no further
    question is asked, so that a controller that does not answer costs one timeout.

    `freed`: nodes of the caller's own job. It ends now, and for --test-only it holds them until its time limit.
    """
    found: list[Start] = []
    queue: list[QueuedJob] | None = None
    for options in jobs:
        if found and found[-1].at is None and found[-1].refused is None:
            found.append(found[-1])
            continue
        start, partition = _test(options, folder, timeout_s)
        if start.at is not None:
            queue = _waiting(options, timeout_s) if queue is None else queue
            start = on_freed(start, options, freed)
            start = behind(start, options, partition, queue)
        found.append(start)
    return found


def on_freed(start: Start, options: Options, freed: int) -> Start:
    """The start, which is now if the nodes that the caller's own job frees are enough."""
    if start.at is None or not 0 < int(options.get("nodes", "1")) <= freed:
        return start
    now = time.time()
    return start if start.at <= now else Start(at=now, how="on the nodes that the present job frees")


def behind(start: Start, options: Options, partition: str, queue: Sequence[QueuedJob]) -> Start:
    """The start, which is not before that of any waiting job of the partition that needs no more nodes and no more time.

    `sbatch --test-only` of 22.05 considers only the running jobs, and adds 10 minutes if a job waits in the partition, whatever
    its planned start (seen on slurm/lab). A job behind a smaller one cannot start before it, unless it has a higher priority.
    """
    ahead = [
        job
        for job in queue
        if (partition in job.partitions or not partition)
        and job.nodes <= int(options.get("nodes", "1"))
        and job.time_s is not None
        and job.time_s <= limit_s(options["time"])
    ]
    planned = [job.starts for job in ahead if job.starts is not None]
    unplanned = len(ahead) - len(planned)
    how = start.how
    at = start.at
    if planned and at is not None and max(planned) > at:
        at, how = max(planned), "squeue: the planned start of a smaller job that waits"
    if unplanned:
        how += f"; at the earliest, since {plural(unplanned, 'smaller job')} before this one has no planned start"
    return Start(at=at, how=how)


def _test(options: Options, folder: str, timeout_s: float) -> tuple[Start, str]:
    """The answer of --test-only about one job, and the partition in which it would start."""
    script = f"#!/bin/bash\n{header(options, folder)}\nexit 0\n"
    environ = for_sbatch(os.environ, options)
    done = ask(["sbatch", "--test-only"], timeout_s, environ=environ, given=script)
    if done is None:
        return Start(how="sbatch --test-only did not answer"), ""
    told = _STARTS.search(done.stderr) or _STARTS.search(done.stdout)
    if told:
        with contextlib.suppress(ValueError):
            at = max(datetime.fromisoformat(told[1]).timestamp(), time.time())
            return Start(at=at, how="sbatch --test-only"), told[2] or ""
    if done.returncode and not any(words in done.stderr for words in _SILENT):
        return Start(refused=words_of(done).removeprefix("sbatch: "), how="sbatch --test-only"), ""
    return Start(how=f"sbatch --test-only named no start: {words_of(done)}"), ""


def _waiting(options: Options, timeout_s: float) -> list[QueuedJob]:
    """The waiting jobs of all users on the job's cluster; empty if squeue does not answer."""
    named = clusters_of(options, os.environ)
    cluster = ["--clusters", named] if named else []
    command = ["squeue", "--noheader", "--states=PENDING", "--format=%P|%D|%l|%S|%r", *cluster]
    done = ask(command, timeout_s)
    lines = done.stdout.splitlines() if done and done.returncode == 0 else []
    found: list[QueuedJob] = []
    for line in lines:
        partitions, nodes, limit, start, reason = [*line.strip().split("|"), *[""] * 5][:5]
        if not nodes.isdigit() or _is_passed(reason):
            continue
        found.append(
            QueuedJob(
                partitions=tuple(partitions.split(",")),
                nodes=int(nodes),
                time_s=_seconds(limit),
                starts=_moment(start),
            )
        )
    return found


def _is_passed(reason: str) -> bool:
    """Whether a job waits for something other than nodes, so that others overtake it. Source: squeue(1), JOB REASON CODES."""
    return reason.strip("()") not in ("", "None", "Priority", "Resources")


def _seconds(limit: str) -> int | None:
    try:
        return limit_s(limit)
    except ValueError:
        return None  # UNLIMITED, INVALID


def _moment(word: str) -> float | None:
    try:
        return datetime.fromisoformat(word).timestamp()
    except ValueError:
        return None  # N/A: the backfill scheduler has not planned it
