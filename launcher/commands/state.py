"""Where a run is: its own events first, then what the place says of its job."""

import dataclasses
import json
from typing import Any

from launcher.clusters.base import RunState
from launcher.clusters.choose import job_cluster
from launcher.errors import ClusterError
from launcher.run import RunDir

_ENDED = {"finished": RunState.FINISHED, "stopped": RunState.FAILED, "cancelled": RunState.CANCELLED}
_OVER = (RunState.FINISHED, RunState.FAILED, RunState.CANCELLED, RunState.TIMEOUT)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One run, as `status` shows it."""

    run: str
    run_dir: str
    state: RunState
    job_id: str | None
    attempts: int
    step: int | None
    total_steps: int | None
    loss: float | None
    eval_loss: float | None
    error: str | None
    note: str | None
    """What could not be told, and why."""

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps({**dataclasses.asdict(self), "state": self.state.value})


def read_status(run: RunDir) -> Status:
    """The run's status. A place that does not answer concludes nothing: the run dir then tells."""
    events = run.read_events()
    metrics = run.read_metrics()
    job: dict[str, Any] = run.read_json(run.job) if run.job.exists() else {}
    job_id = job.get("job_id")
    state, note = _state(events, job)
    training = [line for line in metrics if line.get("loss") is not None]
    evaluated = [line for line in metrics if line.get("eval_loss") is not None]
    last = training[-1] if training else {}
    total = next((event.get("total_steps") for event in reversed(events) if "total_steps" in event), None)
    return Status(
        run=run.name,
        run_dir=str(run.path),
        state=state,
        job_id=job_id,
        attempts=run.attempts(),
        step=last.get("step"),
        total_steps=last.get("total_steps", total),
        loss=last.get("loss"),
        eval_loss=evaluated[-1]["eval_loss"] if evaluated else None,
        error=None if state is RunState.FINISHED else _error(run, events),
        note=note,
    )


def _state(events: list[dict[str, Any]], job: dict[str, Any]) -> tuple[RunState, str | None]:
    names = [event["event"] for event in events]
    last_start = max((index for index, name in enumerate(names) if name in ("submitted", "started")), default=-1)
    ended = next((_ENDED[name] for name in names[last_start + 1 :] if name in _ENDED), None)
    if ended is RunState.FINISHED:
        return ended, None
    if not job:
        # started by hand from its files, or never
        return ended or (RunState.RUNNING if "started" in names else RunState.PLANNED), None
    answer, why = _ask(str(job["cluster"]), str(job["job_id"]))
    if answer is None:
        told = ended or (RunState.RUNNING if "started" in names else RunState.PENDING)
        return told, f"{why}; this is what the run dir says"
    if ended and answer not in (RunState.PENDING, RunState.RUNNING):
        # Slurm knows a cancel or the time limit; the run dir only saw the signal
        return (answer if answer in (RunState.CANCELLED, RunState.TIMEOUT) else ended), None
    if answer is RunState.RUNNING and ended and job["cluster"] == "allocation":
        return ended, None  # the allocation outlives the run
    if answer is RunState.LOST:
        return RunState.LOST, "its job has left the queue and the run dir does not say how it ended"
    return answer, None


def _ask(kind: str, job_id: str) -> tuple[RunState | None, str]:
    try:
        answer = job_cluster(kind).state(job_id)
    except ClusterError as error:
        return None, str(error)
    return answer, f"Slurm does not answer about job {job_id}"


def _error(run: RunDir, events: list[dict[str, Any]]) -> str | None:
    """The first rank's error of the last attempt, else the supervisor's reason."""
    stopped = [event for event in events if event["event"] == "stopped"]
    return run.crash(run.attempts()) or (str(stopped[-1]["reason"]) if stopped else None)


def is_over(state: RunState) -> bool:
    """Whether nothing more will happen by itself."""
    return state in _OVER or state is RunState.LOST
