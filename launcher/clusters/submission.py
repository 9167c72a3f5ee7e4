"""Submission of a run that can be interrupted at any point and repeated: no job is lost, and none is queued twice.

Before the scheduler is called, intent.json is written into the run dir; after the job is recorded, that file is deleted. A
later call that finds the file looks in the queue first (Cluster.jobs_of). The command that submits holds a lock on the file, so
that a later call waits for a command that outlived its launcher.
filelock is not used, because its lock ends with the launcher: commands do not inherit its descriptor.
"""

import contextlib
import json
import os
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from launcher.clusters.base import Cluster, Refused
from launcher.errors import ClusterError, RunError
from launcher.run import JOB_SCRIPT, RunDir, job_number
from launcher.run.events.launching import Submitted
from launcher.run.locks import lock_within
from launcher.run.record import is_kind

_LOCK_S = 60.0
_LONGEST = 1 << 20
_LATE_S = 2.0
"""Seconds until the queue shows a job whose submission was killed after its request."""


@contextlib.contextmanager
def submitted(
    cluster: Cluster,
    run: RunDir,
    *,
    after: str | None = None,
    avoid: Sequence[str] = (),
    array: str | None = None,
    me: str = "",
    script: str = JOB_SCRIPT,
) -> Generator[str]:
    """The id of the run's new job, or of the job that an interrupted earlier call queued; it is recorded in the run dir.

    The submission is complete when the body of the `with` has ended. `me` is the job that this call is made from, if any.
    `after`, `avoid` and `array` are those of Cluster.submit. ClusterError if the cluster refuses the job, or cannot say whether
    it already has it.
    """
    while True:
        _check_file(run)
        with run.intent.open("a+", encoding="utf-8", errors="replace") as file:
            _lock(file, run)
            if not _is(file, run.intent):
                continue  # another call has completed meanwhile
            job_id = _earlier(cluster, run, file, me)
            if job_id is None:
                _note_intent(run, file)
                try:
                    job_id = cluster.submit(
                        run.path / script, after=after, avoid=avoid, array=array, keep_open=file.fileno()
                    )
                except Refused:
                    run.intent.unlink()
                    raise
            run.note_job(cluster.name, job_id)
            yield job_id
            run.intent.unlink()
            return


@contextlib.contextmanager
def cut_short(cluster: Cluster, run: RunDir) -> Generator[str | None]:
    """The job of an interrupted submission of the run, recorded in the run dir; None if there is none.

    ClusterError if the cluster cannot say.
    """
    _check_file(run)
    try:
        file = run.intent.open("r+", encoding="utf-8", errors="replace")
    except FileNotFoundError:
        yield None
        return
    with file:
        _lock(file, run)
        if not _is(file, run.intent):
            yield None  # the submission was not interrupted but is complete
            return
        job_id = _earlier(cluster, run, file, "")
        if job_id:
            run.note_job(cluster.name, job_id)
        yield job_id
        run.intent.unlink()


def _check_file(run: RunDir) -> None:
    """RunError if the intent is a pipe, a device or a folder, because reading one can block forever."""
    if run.intent.is_symlink() or (run.intent.exists() and not run.intent.is_file()):
        raise RunError(f"{run.intent} is not a regular file; remove it")


def _note_intent(run: RunDir, file: IO[str]) -> None:
    """Writes the intent: the earlier jobs of the run."""
    file.truncate(0)
    file.write(json.dumps({"before": sorted(_known(run))}) + "\n")
    file.flush()
    os.fsync(file.fileno())


def _earlier(cluster: Cluster, run: RunDir, file: IO[str], me: str) -> str | None:
    """The job of an interrupted submission; None if it queued none."""
    file.seek(0)
    text = file.read(_LONGEST)
    if not text.strip():
        return None  # interrupted before it called the scheduler
    before = [*_before(run, text), me]
    if run.job.exists() and job_number(job_id := str(run.read_json(run.job)["job_id"])) not in before:
        return job_id
    for wait in (0.0, _LATE_S):
        time.sleep(wait)
        found = cluster.jobs_of(run.path)
        if found is None:
            raise ClusterError(
                f"{cluster.title} does not say whether it has the job of {run.name}, whose submission was interrupted; "
                "type the command again when it answers"
            )
        if new := [job_id for job_id in found if job_id not in before]:
            return new[0]
    return None


def _before(run: RunDir, text: str) -> list[str]:
    """The earlier jobs that an intent names; RunError for a file that the launcher has not written."""
    values: Any
    try:
        values = json.loads(text)["before"]
    except (ValueError, TypeError, KeyError, RecursionError):
        values = None
    if not is_kind(values, Sequence[str]):
        raise RunError(
            f"{run.intent} is not a valid record of a submission; if no job of {run.name} is queued, remove it and type the "
            "command again"
        )
    return list(cast("Sequence[str]", values))


def _known(run: RunDir) -> set[str]:
    """Numbers of all jobs that the run has had."""
    return {job_number(event.job_id) for event in run.read_events(Submitted)}


def _lock(file: IO[str], run: RunDir) -> None:
    with contextlib.suppress(OSError):  # a file system without locks
        if not lock_within(file, _LOCK_S):
            raise ClusterError(
                f"another submission of {run.name} still runs after {_LOCK_S:g} s; type the command again when it has ended"
            )


def _is(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
