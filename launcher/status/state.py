"""The state of a run: by its own events first, then by the cluster's answer about its job."""

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from launcher.clusters.base import Cluster, RunState
from launcher.clusters.local import process_id
from launcher.clusters.registry import find_cluster, job_cluster
from launcher.errors import ClusterError, LauncherError, RunError
from launcher.plan.trainer import few_steps
from launcher.run import RunDir, job_number, now
from launcher.run.attempts import find_attempts
from launcher.run.events.launching import Submitted
from launcher.run.events.ranks import Measured, Training
from launcher.run.events.results import Exported
from launcher.run.events.supervisor import Fetching, Started
from launcher.run.history import History, HistoryReader
from launcher.run.insurance import Insurance, is_same_job, waiting_insurance
from launcher.run.long_course import LongCourse
from launcher.run.totals import Standing, effective_training_time, error, standing
from launcher.status.generation import generation_of, starving
from launcher.status.learning import (
    damaged_lines,
    early_stopped,
    general,
    overfitting,
)
from launcher.status.record import attempt_rows, failed_check, failed_evaluations, failed_push, next_save
from launcher.status.run_status import FIGURES, Estimated, Status

_STATES = {
    Standing.PLANNED: RunState.PLANNED,
    Standing.SUBMITTED: RunState.PENDING,
    Standing.RUNNING: RunState.RUNNING,
    Standing.REQUEUED: RunState.PENDING,
    Standing.FINISHED: RunState.FINISHED,
    Standing.CANCELLED: RunState.CANCELLED,
    Standing.PRUNED: RunState.PRUNED,
    Standing.STOPPED: RunState.FAILED,
}
_SETTLED = (RunState.FINISHED, RunState.PRUNED)
_GOES_ON = (RunState.PENDING, RunState.RUNNING)
_OVER = (*_SETTLED, RunState.FAILED, RunState.CANCELLED, RunState.TIMEOUT, RunState.LOST)


def split_readable(runs: Sequence[RunDir]) -> tuple[list[RunDir], list[str]]:
    """The runs whose plan and job can be read, and for each other run the sentence that says why not."""
    readable: list[RunDir] = []
    faults: list[str] = []
    for run in runs:
        try:
            for path in (run.plan, run.job):
                if path.exists():
                    run.read_json(path)
        except RunError as error:
            faults.append(str(error))
        else:
            readable.append(run)
    return readable, faults


def read_statuses(runs: Sequence[RunDir], readers: Sequence[HistoryReader] = ()) -> list[Status]:
    """The status of each run; a cluster is asked once about all jobs. `readers`: those of a caller that asks repeatedly."""
    readers = readers or [HistoryReader(run, whole=False) for run in runs]
    jobs = [
        _job(run, history)
        for run, reader in zip(runs, readers, strict=True)
        if (history := reader.read()).events and _recorded(history) is not RunState.FINISHED
    ]
    queries: dict[str, list[str]] = {}
    for job in jobs:
        if job and not _find(job).one_machine:
            queries.setdefault(str(job["cluster"]), []).append(str(job["job_id"]))
    known: dict[str, RunState | None] = {}
    for kind, ids in queries.items():
        with contextlib.suppress(ClusterError):
            known |= job_cluster(kind).states(ids)
    return [read_status(run, known, reader) for run, reader in zip(runs, readers, strict=True)]


def read_status(
    run: RunDir,
    known: Mapping[str, RunState | None] = MappingProxyType({}),
    reader: HistoryReader | None = None,
) -> Status:
    """The run's status. If the cluster does not answer, the state is that of the run dir.

    `known` has the cluster's earlier answers by job id. A caller that asks repeatedly keeps a `reader`.
    """
    reader = reader or HistoryReader(run, whole=False)
    history = reader.read()
    job = _job(run, history)
    answer, silence = None, ""
    if job and _recorded(history) not in _SETTLED:
        answer, silence = _ask(job, known)
        history = reader.read()  # read again: a run that has ended meanwhile says so here
    plan = _read_plan(run)
    # The job of a trial belongs to its sweep's worker and outlives the trial, as an allocation does.
    outlives = bool(job) and (run.path.parent.name.startswith("sweep_") or _find(job).outlives_run)
    state, note = _conclude(_recorded(history), bool(job), outlives, answer, silence)
    job_id, (insurance, odd) = job.get("job_id"), waiting_insurance(run)
    if insurance and is_same_job(insurance.job_id, job_id):
        insurance = None  # it is the run's job already
    if insurance and _recorded(history) in _GOES_ON and is_over(state) and (own := _alive(insurance)):
        note = f"job {job_id} ended before the run was over; job {insurance.job_id}, its insurance, continues the run"
        state, job_id, insurance = own, insurance.job_id, None
    if run.intent.exists() and not job:
        note = (
            f"it is being submitted, or its submission was interrupted; "
            f"python -m launcher resume {run.name} finds its job or queues it"
        )
    newest = history.events[-1] if history.events else None
    if state is RunState.RUNNING and isinstance(newest, Fetching):
        note = f"{newest.host} fetches model and data from their hub: {newest.gib:.2f} GiB so far"
    course, moment = history.course, now()
    last, evaluated = course.last, course.evaluated
    training, measured = history.newest(Training), history.newest(Measured)
    total = last.get("total_steps") if last else None
    if total is None and training is not None:
        total = training.total_steps
    server = generation_of(plan, history)
    return Status(
        run=run.name,
        run_dir=str(run.path),
        state=state,
        job_id=job_id,
        insurance=insurance.job_id if insurance else None,
        attempts=len(history.all(Started)),
        step=last.step if last else None,
        total_steps=total,
        loss=last.get("loss") if last else None,
        eval_loss=evaluated.get("eval_loss") if evaluated else None,
        perplexity=evaluated.get("perplexity") if evaluated else None,
        figures={name: last.get(name) for name in FIGURES} if last else {},
        history=attempt_rows(find_attempts(history, moment)),
        effective_training_time=effective_training_time(history, moment),
        planned_training_time=plan["save"]["effective_training_time"] if plan.get("save") else None,
        planned=_estimated(plan),
        measured=measured.values(nulls=True) if measured else None,
        next_save=next_save(plan, history) if state is RunState.RUNNING else None,
        error=None if state is RunState.FINISHED else error(history),
        early_stopped=early_stopped(history),
        general=general(history),
        generation=server,
        damaged=dict(history.damaged),
        sampled={"places": course.places, "lines": course.lines} if isinstance(course, LongCourse) else None,
        warnings=[
            *(
                one
                for one in (
                    few_steps(total),
                    overfitting(course),
                    starving(server, history),
                    failed_check(history.newest(Exported)),
                    failed_push(history, run.name),
                    failed_evaluations(history),
                    odd,
                )
                if one
            ),
            *damaged_lines(history.damaged),
        ],
        note=note,
    )


def _read_plan(run: RunDir) -> dict[str, Any]:
    """The run's plan; empty if it has none yet."""
    return run.read_json(run.plan) if run.plan.is_file() else {}


def _estimated(plan: dict[str, Any]) -> Estimated:
    time, memory = plan.get("time"), plan.get("memory")
    return {"step_s": time["step_s"] if time else None, "memory_gib": memory["total"] if memory else None}


def is_over(state: RunState) -> bool:
    """Whether the state is final unless someone acts."""
    return state in _OVER


def _recorded(history: History) -> RunState:
    """The state by the run dir alone."""
    return _STATES[standing(history)]


def _job(run: RunDir, history: History) -> dict[str, Any]:
    """Kind, id and host of the job: that of job.json, or a later one started by hand; empty before any submission.

    A job that started before the newest submission is over, or is the submitted one.
    """
    if not os.path.lexists(
        run.job
    ):  # a link to itself "does not exist" either, and does not mean that the run has no job
        return {}
    job = run.read_json(run.job)
    number = job_number(str(job["job_id"]))
    events = history.events
    newest = max((at for at, event in enumerate(events) if isinstance(event, Submitted)), default=-1)
    begun = [
        event
        for at, event in enumerate(events)
        if isinstance(event, Started) and (at > newest or event.job_id == number) and event.job_id is not None
    ]
    if not begun:
        return job
    last = begun[-1]
    if last.job_id == number:
        return {**job, "host": last.host}
    return {**job, "job_id": last.job_id, "host": last.host, "started": None}


def _ask(job: dict[str, Any], known: Mapping[str, RunState | None]) -> tuple[RunState | None, str]:
    """The cluster's state of the job, and the sentence to show if it is None."""
    cluster, job_id, host = _find(job), str(job["job_id"]), job.get("host")
    if cluster.one_machine and host not in (None, socket.gethostname()):
        return None, f"its process {job_id} is on {host}"
    try:
        is_known = job_id in known and not cluster.one_machine
        asked = process_id(job_id, job.get("started")) if cluster.one_machine else job_id
        state = known[job_id] if is_known else job_cluster(cluster.name).state(asked)
        return state, f"{cluster.title} does not answer about job {job_id}"
    except ClusterError as error:
        return None, str(error)


def _alive(insurance: Insurance) -> RunState | None:
    """The state of the insurance's job while it is in the queue or runs; None otherwise, and if that is not known."""
    with contextlib.suppress(LauncherError):  # insurance.json can name a cluster that does not exist
        state = job_cluster(insurance.cluster).state(str(insurance.job_id))
        return state if state in _GOES_ON else None
    return None


def _find(job: Mapping[str, Any]) -> Cluster:
    return find_cluster(str(job["cluster"]))


def _conclude(
    recorded: RunState, has_job: bool, outlives: bool, answer: RunState | None, silence: str
) -> tuple[RunState, str | None]:
    """The state, and a note if it is not certain."""
    if recorded in _SETTLED or not has_job:
        return recorded, None
    if answer is None:
        return recorded, f"{silence}; this is what the run dir says"
    ended = recorded in (RunState.CANCELLED, RunState.FAILED)
    if outlives and answer is RunState.RUNNING and ended:
        return recorded, None  # the job outlives the run
    if outlives and answer is RunState.FINISHED:
        answer = RunState.LOST  # its shell ended normally, which says nothing about the run
    if ended and answer not in (RunState.PENDING, RunState.RUNNING):
        # the scheduler knows about a cancel or the time limit; the run dir has only seen the signal
        return answer if answer in (RunState.CANCELLED, RunState.TIMEOUT) else recorded, None
    if answer is RunState.LOST:
        return answer, "its job is gone and the run dir does not say how it ended"
    return answer, None
