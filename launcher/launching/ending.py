"""Ends runs on request: cancels a run's job, or removes whole folders of runs, none of which is queued or running."""

import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.clusters.base import RunState
from launcher.clusters.local import process_id
from launcher.clusters.registry import job_cluster
from launcher.errors import RunError, unknown
from launcher.launching.end_evaluations import cancel_evaluations
from launcher.launching.end_insurance import cancel_insurance
from launcher.launching.write import settle
from launcher.run import RunDir, job_number, list_runs
from launcher.run.events import launching
from launcher.run.events.supervisor import Started
from launcher.run.find import find_exact, matching_runs
from launcher.run.remote import refuse_remote_folder, remote_named
from launcher.status.serving import serving_job
from launcher.status.state import is_over, read_status


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledJob:
    """The cancelled job."""

    job_id: str
    was_over: bool
    state: str
    """The run's state before the cancel."""
    server: bool = False
    """Whether it is the job that served the run."""
    shared: bool = False
    """Whether the job trains other trials too, and only this one ends."""
    evaluations: tuple[str, ...] = ()
    """The jobs of evaluations (eval_job) that were cancelled with it."""
    insurance: str | None = None
    """The job that waited as its insurance, and was cancelled with it."""


def cancel_server(run: RunDir) -> CancelledJob:
    """Cancels the job that serves the run, unless it is over; RunError if there is none."""
    job = serving_job(run)
    if job is None:
        raise RunError(
            f"{run.name} has no job that serves it; python -m launcher serve {run.name} --job queues one"
        )
    if job.is_alive:
        job.cluster.cancel(job.job_id)
    state = job.state.value if job.state else "unknown"
    return CancelledJob(job_id=job.job_id, was_over=not job.is_alive, state=state, server=True)


def cancel(run: RunDir) -> CancelledJob:
    """Cancels the run's job, or, if it is over, the job that serves the run; RunError if there is none, or if it runs on
    another machine."""
    settle(run)
    before = read_status(run)
    if (before.job_id is None or is_over(before.state)) and _is_served(run):
        return cancel_server(run)
    if before.job_id is None:
        raise RunError(f"{run.name} has no job to cancel: it was never submitted")
    over = is_over(before.state)
    if not over:
        job = run.read_json(run.job)
        cluster = job_cluster(str(job["cluster"]))
        asked = before.job_id
        if cluster.one_machine:
            _check_host(run)
            same = job_number(str(job["job_id"])) == asked
            asked = process_id(asked, job.get("started") if same else None)
        if not run.together.is_file():  # otherwise the worker of its group ends this trial alone
            cluster.cancel(asked)
        run.note(launching.Cancelled(attempt=before.attempts, job_id=before.job_id))
    insurance = cancel_insurance(run)
    evaluations = tuple(cancel_evaluations(run))
    return CancelledJob(
        job_id=before.job_id,
        was_over=over,
        state=before.state.value,
        shared=run.together.is_file(),
        evaluations=evaluations,
        insurance=None if insurance == before.job_id else insurance,
    )


def _is_served(run: RunDir) -> bool:
    """Whether a job serves the run, or may serve it."""
    job = serving_job(run)
    return job is not None and job.is_alive


def _check_host(run: RunDir) -> None:
    """Raises RunError if the run's process is on another machine."""
    started, here = run.read_events(Started), socket.gethostname()
    host = started[-1].host if started else None
    if host not in (None, here):
        raise RunError(f"{run.name} runs on {host}, and this is {here}; run the command there")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """A run or a sweep that can be removed."""

    run: RunDir
    state: str
    size: int
    """Bytes of its files."""


def removable(runs_dir: Path, references: Sequence[str], *, planned: bool) -> list[Removable]:
    """The named runs, or with `planned` all dry runs, each once; RunError if one of them must not be removed."""
    runs = list_runs(runs_dir)
    if planned:
        chosen = [run for run in runs if not run.submitted and not _is_trial(run)]
    else:
        chosen = [_named(runs_dir, reference, runs) for reference in references]
    distinct = {run.path.resolve(): run for run in chosen}
    return [_checked(run) for run in distinct.values()]


def remove(one: Removable) -> None:
    """Deletes the run's folder."""
    _checked(one.run)  # it may have been started while the user was asked
    cancel_insurance(one.run)
    delete(one.run.path)


def delete(folder: Path) -> None:
    """Deletes the folder. Links in it are deleted and not followed; RunError if something of it cannot be deleted."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be removed: {error.strerror} ({error.filename}); the files that are left stay there"
        ) from None


def size_of(folder: Path) -> int:
    """Bytes of the folder's files; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _named(runs_dir: Path, reference: str, runs: Sequence[RunDir]) -> RunDir:
    """The one run that the reference means; a name of several runs is refused. RunElsewhere for a run on a cluster."""
    for path in (Path(reference), runs_dir / reference):
        if path.is_symlink():
            raise RunError(
                f"{path} is a link to {path.resolve()}; name that folder, or remove the link yourself"
            )
    if found := find_exact(runs_dir, reference):
        return found
    matching = matching_runs(runs_dir, reference, runs)
    there = remote_named(runs_dir, reference)
    if not matching and len(there) == 1:
        refuse_remote_folder(runs_dir, str(there[0]))
    if not matching and not there:
        names = {run.name for run in runs}
        raise RunError(unknown(f"run under {runs_dir}", reference, names or ()))
    if len(matching) + len(there) > 1:
        names = [run.name for run in matching] + [str(folder.relative_to(runs_dir)) for folder in there]
        several = ", ".join(names[-5:])
        raise RunError(f"{reference} names {len(names)} runs; name each that is to be removed: {several}")
    return matching[0]


def _checked(run: RunDir) -> Removable:
    """The run with its state; RunError if it may still have a job, is part of a sweep, or is not a complete run dir."""
    for file in (run.plan, run.config, run.job_script, run.events):
        if not file.is_file():
            raise RunError(f"{run.path} is not a complete run dir: it has no {file.name}; delete it yourself")
    if _is_trial(run):
        raise RunError(
            f"{run.name} is a trial of a sweep, whose results need it; remove the whole sweep {run.path.parent}"
        )
    status = read_status(run)
    planned = status.state is RunState.PLANNED and not run.intent.exists()
    if not planned and not is_over(status.state):
        doubt = f" ({status.note})" if status.note else ""
        raise RunError(
            f"{run.name} is {status.state.value}{doubt}; end it first: python -m launcher cancel {run.name}"
        )
    if _is_served(run):
        raise RunError(
            f"{run.name} is served by a job; end it first: python -m launcher cancel {run.name} --server"
        )
    return Removable(run=run, state=status.state.value, size=size_of(run.path))


def _is_trial(run: RunDir) -> bool:
    return (run.path.parent / "sweep.json").is_file()
