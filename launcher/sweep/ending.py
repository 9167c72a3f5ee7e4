"""Ends sweeps: cancels one, or removes whole ones that have no job in the queue, no worker and no running trial."""

import json
from pathlib import Path

from launcher.clusters.base import RunState
from launcher.clusters.registry import find_cluster
from launcher.errors import RunError
from launcher.launching.end_insurance import cancel_insurance
from launcher.launching.ending import Removable, delete, size_of
from launcher.run import RunDir, now, write_text
from launcher.run.events.launching import Cancelled
from launcher.status.state import is_over, read_statuses
from launcher.sweep.array import queue_of, queued_jobs
from launcher.sweep.claims import is_gone, read_claims
from launcher.sweep.folder import SweepDir, list_sweeps
from launcher.sweep.read import read_sweep
from launcher.units import plural


def cancel_sweep(sweep: SweepDir) -> list[str]:
    """Ids of the cancelled jobs, or numbers of the cancelled trials; no further trial begins."""
    write_text(sweep.stop, json.dumps({"time": now(), "why": "cancelled"}) + "\n")
    ended = _cancel(sweep)
    sweep.as_run.note(Cancelled(attempt=0, job_ids=ended))
    return ended


def _cancel(sweep: SweepDir) -> list[str]:
    """The result of cancel_sweep. Workers that are not in a queue end by themselves when they see stop.json."""
    spec = sweep.read_spec()
    cluster = queue_of(spec)
    if cluster is not None:
        jobs = queued_jobs(sweep, cluster)
        for job_id in jobs:
            cluster.cancel(job_id)
        return jobs
    ended: list[str] = []
    for number, claim in read_claims(sweep).items():
        holder = claim["worker"]
        if holder is None or (sweep.outcomes / f"{number}.json").exists():
            continue
        if not is_gone(str(spec["cluster"]), holder):
            ended.append(str(number))
    return ended


def named_sweep(runs_dir: Path, reference: str) -> SweepDir | None:
    """The sweep whose folder the reference names; None if it names none. RunError for a link, which is not followed."""
    for path in (Path(reference), runs_dir / reference):
        if (path / "sweep.json").is_file():
            if path.is_symlink():
                raise RunError(
                    f"{path} is a link to {path.resolve()}; name that folder, or remove the link yourself"
                )
            return SweepDir(path.resolve())
    return None


def planned_sweeps(runs_dir: Path) -> list[SweepDir]:
    """The sweeps that were dry runs."""
    return [sweep for sweep in list_sweeps(runs_dir) if not sweep.submitted]


def removable_sweep(sweep: SweepDir) -> Removable:
    """The sweep with its size; RunError if a part of it may still run, ClusterError if its queue does not answer."""
    planned = not sweep.submitted
    if not planned:
        _check_over(sweep)
    trials = plural(len(read_sweep(sweep.path).trials), "trial")
    return Removable(
        run=sweep.as_run, state=f"{'planned, ' if planned else ''}{trials}", size=size_of(sweep.path)
    )


def remove_sweep(sweep: SweepDir) -> None:
    """Deletes the sweep's folder, after a new check: the sweep may have been started again while the user was asked."""
    removable_sweep(sweep)
    for path in sweep.path.glob("[0-9]*/insurance.json"):  # of a trial that was resumed with a job of its own
        cancel_insurance(RunDir(path.parent))
    delete(sweep.path)


def _check_over(sweep: SweepDir) -> None:
    spec = sweep.read_spec()
    way = f"end it first: python -m launcher sweep cancel {sweep.name}"
    if sweep.as_run.intent.exists() and not sweep.jobs.exists():
        raise RunError(
            f"{sweep.name} is being submitted, or its submission was interrupted; finish it first: "
            f"python -m launcher sweep resume {sweep.name}"
        )
    cluster = queue_of(spec)
    if cluster is not None and (jobs := queued_jobs(sweep, cluster)):
        raise RunError(f"{sweep.name} has jobs in the queue ({', '.join(jobs)}); {way}")
    if cluster is None and _command_runs(sweep):
        raise RunError(f"the command that runs {sweep.name} is still running; end it with Ctrl-C, or {way}")
    busy = [
        number
        for number, claim in read_claims(sweep).items()
        if claim["worker"] is not None
        and not (sweep.outcomes / f"{number}.json").exists()
        and not is_gone(str(spec["cluster"]), claim["worker"])
    ]
    if busy:
        raise RunError(
            f"{sweep.name}: the worker of trial {busy[0]} may still be running; {way}, or remove the sweep on the "
            "host that trained it"
        )
    trials = [RunDir(path.parent) for path in sweep.path.glob("[0-9]*/plan.json")]
    for status in read_statuses(trials):
        if status.state is not RunState.PLANNED and not is_over(status.state):
            raise RunError(f"{sweep.name}: trial {status.run} is {status.state.value}; {way}")


def _command_runs(sweep: SweepDir) -> bool:
    """Whether the command that started the workers on this machine still runs; an allocation continues after its sweep."""
    if not sweep.as_run.job.exists():
        return False
    job = sweep.as_run.read_json(sweep.as_run.job)
    if find_cluster(str(job["cluster"])).outlives_run:
        return False
    try:
        return b"launcher" in Path("/proc", str(job["job_id"]), "cmdline").read_bytes()
    except OSError:
        return False
