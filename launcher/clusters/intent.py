"""A submission that can be interrupted at any point and repeated: no job is lost, and none is queued twice.

Before the scheduler is called, an intent is written into the run dir; after the job is recorded, that file is deleted. A later
call that finds the file looks in the queue first (Cluster.jobs_of). The command that submits holds a lock on the file, so that
a later call waits for a command that outlived its launcher.
filelock is not used, because its lock ends with the launcher: commands do not inherit its descriptor.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from launcher.clusters.base import Cluster, Refused
from launcher.errors import ClusterError, RunError
from launcher.reading import read_text
from launcher.run import RunDir, job_number
from launcher.run.events.launching import Submitted
from launcher.run.locks import lock_within
from launcher.run.record import is_kind

_LOCK_S = 60.0
_LONGEST = 1 << 20
_LATE_S = 2.0
"""Seconds until the queue shows a job whose submission was killed after its request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Which job of a run is submitted, and where that is noted."""

    run: RunDir
    intent: Path
    """The file that exists while it is being submitted."""
    recorded: Callable[[], str | None]
    """The job that is recorded, which can be an earlier one; None for none."""
    record: Callable[[str], None]
    """Records the job."""
    others: Callable[[], Iterable[str]]
    """Numbers of jobs of the run that are for sure not this one."""


@contextlib.contextmanager
def submitted_once(cluster: Cluster, slot: Slot, me: str, submit: Callable[[int], str]) -> Generator[str]:
    """The id of the new job, or of the job that an interrupted earlier call queued; it is recorded.

    The submission is complete when the body of the `with` has ended. `me` is the job that this call is made from, if any.
    `submit` gets the file descriptor that its command inherits. ClusterError if the cluster refuses the job, or cannot say
    whether it already has it.
    """
    while True:
        _check_file(slot.intent)
        with slot.intent.open("a+", encoding="utf-8", errors="replace") as file:
            _lock(file, slot)
            if not _is(file, slot.intent):
                continue  # another call has completed meanwhile
            job_id = _earlier(cluster, slot, file, me)
            if job_id is None:
                _note_intent(slot, file)
                try:
                    job_id = submit(file.fileno())
                except Refused:
                    slot.intent.unlink()
                    raise
            slot.record(job_id)
            yield job_id
            slot.intent.unlink()
            return


@contextlib.contextmanager
def interrupted(
    cluster: Cluster, slot: Slot, me: str = "", *, wait_s: float = _LOCK_S
) -> Generator[str | None]:
    """The job of an interrupted submission, which is recorded; None if there is none. ClusterError if the cluster cannot say,
    or if the submission still runs after `wait_s` seconds."""
    _check_file(slot.intent)
    try:
        file = slot.intent.open("r+", encoding="utf-8", errors="replace")
    except FileNotFoundError:
        yield None
        return
    with file:
        _lock(file, slot, wait_s)
        if not _is(file, slot.intent):
            yield None  # the submission was not interrupted but is complete
            return
        job_id = _earlier(cluster, slot, file, me)
        if job_id:
            slot.record(job_id)
        yield job_id
        slot.intent.unlink()


def is_first(run: RunDir) -> bool:
    """Whether the interrupted submission is that of the run's first job, which a launch makes."""
    before = _jobs_before(run)
    return not run.job.exists() if before is None else not before


def follows(run: RunDir, job_id: str) -> bool:
    """Whether the interrupted submission is one of a later job, which this one can be."""
    before = _jobs_before(run)
    return bool(before) and job_number(job_id) not in before


def _jobs_before(run: RunDir) -> list[str] | None:
    """The earlier jobs that the intent of the run's job names; None if it names none yet, or is not valid."""
    with contextlib.suppress(OSError, RunError):
        text = read_text(run.intent)
        return _before(run.intent, run, text) if text.strip() else None
    return None


def known_jobs(run: RunDir) -> set[str]:
    """Numbers of all jobs that the run itself has had."""
    return {job_number(event.job_id) for event in run.read_events(Submitted)}


def _check_file(intent: Path) -> None:
    """RunError if the intent is a pipe, a device or a folder, because reading one can block forever."""
    if intent.is_symlink() or (intent.exists() and not intent.is_file()):
        raise RunError(f"{intent} is not a regular file; remove it")


def _note_intent(slot: Slot, file: IO[str]) -> None:
    """Writes the intent: the earlier jobs of the run."""
    file.truncate(0)
    file.write(json.dumps({"before": sorted(known_jobs(slot.run))}) + "\n")
    file.flush()
    os.fsync(file.fileno())


def _earlier(cluster: Cluster, slot: Slot, file: IO[str], me: str) -> str | None:
    """The job of an interrupted submission; None if it queued none."""
    file.seek(0)
    text = file.read(_LONGEST)
    if not text.strip():
        return None  # interrupted before it called the scheduler
    before = [*_before(slot.intent, slot.run, text), me]
    recorded = slot.recorded()
    if recorded is not None and job_number(recorded) not in before:
        return recorded
    before += slot.others()
    for wait in (0.0, _LATE_S):
        time.sleep(wait)
        found = cluster.jobs_of(slot.run.path)
        if found is None:
            raise ClusterError(
                f"{cluster.title} does not say whether it has the job of {slot.run.name}, whose submission was interrupted; "
                "type the command again when it answers"
            )
        if new := [job_id for job_id in found if job_id not in before]:
            return new[0]
    return None


def _before(intent: Path, run: RunDir, text: str) -> list[str]:
    """The earlier jobs that an intent names; RunError for a file that the launcher has not written."""
    values: Any
    try:
        values = json.loads(text)["before"]
    except (ValueError, TypeError, KeyError, RecursionError):
        values = None
    if not is_kind(values, Sequence[str]):
        raise RunError(
            f"{intent} is not a valid record of a submission; if no job of {run.name} is queued, remove it and type the "
            "command again"
        )
    return list(cast("Sequence[str]", values))


def _lock(file: IO[str], slot: Slot, wait_s: float = _LOCK_S) -> None:
    with contextlib.suppress(OSError):  # a file system without locks
        if not lock_within(file, wait_s):
            raise ClusterError(
                f"another submission of {slot.run.name} still runs after {wait_s:g} s; type the command again when it has ended"
            )


def _is(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
