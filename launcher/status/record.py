"""The attempts and the next save of a run, as status shows them; and whether its exported model was checked and pushed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from launcher.run.attempts import Attempt
from launcher.run.events.checkpoints import Interval, Saved
from launcher.run.events.launching import EvalJobFailed, NotPushed, Pushed
from launcher.run.events.results import Exported
from launcher.run.history import History

_SHOWN = 8


class AttemptRow(TypedDict):
    """One start of a run's ranks."""

    attempt: int
    """Counted from 1."""
    job_id: str | None
    """The scheduler's id of the job in which it ran."""
    host: str | None
    """The supervisor's host."""
    started: str
    """When it began: ISO 8601, UTC."""
    resumed_from: int | None
    """The step of the checkpoint from which it resumed; null if it started from step 0, or has not loaded anything yet."""
    how: str | None
    """How it ended, such as finished, crashed or hung; null while it runs."""
    reason: str | None
    """Why it ended so, as a sentence."""
    hosts: list[str]
    """Hosts to blame for its end."""
    slow: dict[str, float]
    """Slow hosts: the speed of each as a share of the others'."""


class NextSave(TypedDict):
    """The next save of a run that is training."""

    step: int
    """The step after which it is due."""
    in_s: float | None
    """Estimated seconds until then; null while the time of a step is not known."""


def attempt_rows(attempts: Sequence[Attempt]) -> list[AttemptRow]:
    """A row per attempt, the newest last."""
    return [
        {
            "attempt": one.number,
            "job_id": one.job_id,
            "host": one.host,
            "started": one.started,
            "resumed_from": one.resumed_from,
            "how": one.how,
            "reason": one.reason,
            "hosts": list(one.hosts),
            "slow": dict(one.slow),
        }
        for one in attempts
    ]


def next_save(plan: Mapping[str, Any], history: History) -> NextSave | None:
    """The step of the next save of a run that is training, and the seconds until then; None if unknown."""
    last, save = history.course.last_timed, plan.get("save")
    if last is None or not save:
        return None
    step, found = last.step, history.newest(Interval)
    if save["save_steps"]:
        due = (step // save["save_steps"] + 1) * save["save_steps"]
    elif found is not None:
        saved = max((event.step for event in history.all(Saved)), default=0)
        due = max(step + 1, saved + found.steps)
    else:
        return None
    due = min(due, last.get("total_steps") or due)
    if due <= step:
        return None
    step_s = history.course.step_s
    return {"step": due, "in_s": None if step_s is None else round((due - step) * step_s, 1)}


def attempt_lines(record: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(label, text) of each attempt that did not finish the run, the newest last, and of slow hosts."""
    ended = [one for one in record if one["how"] not in (None, "finished")]
    more = [("", f"and {len(ended) - _SHOWN} before them")] if len(ended) > _SHOWN else []
    lines = [
        (f"attempt {one['attempt']}", f"{one['how']}: {one['reason']}" if one["reason"] else one["how"])
        for one in ended[-_SHOWN:]
    ]
    slow = {host: speed for one in record for host, speed in one["slow"].items()}
    return (
        more
        + lines
        + [("slow host", f"{host}: {speed:.2f} of the others' speed") for host, speed in slow.items()]
    )


def failed_check(found: Exported | None) -> str | None:
    """One sentence on an export that was kept although its check failed; None for any other."""
    if found is None or not found.why:
        return None
    return f"the check of {found.path} failed, but it was kept: {found.why}"


def failed_evaluations(history: History) -> str | None:
    """One sentence on evaluations during training without a result; None if there is none."""
    failed = history.all(EvalJobFailed)
    if not failed:
        return None
    newest = failed[-1]
    return f"evaluations on tasks: {len(failed)} failed, the newest at step {newest.step}: {newest.reason}"


def failed_push(history: History, run: str) -> str | None:
    """One sentence on a result that was not pushed; None if it was, or nobody asked for it."""
    failed, pushed = history.newest(NotPushed), history.newest(Pushed)
    if failed is None or (pushed is not None and pushed.time >= failed.time):
        return None
    return f"it was not pushed to {failed.repository}: {failed.reason}; push it with python -m launcher push {run}"
