"""Resuming a sweep with trials that have not begun, were cancelled, have failed, or whose worker has ended."""

import json
import os
from typing import Any

from launcher.clusters.base import Cluster
from launcher.errors import RunError
from launcher.run import write_text
from launcher.sweep.array import check_starts, queue_of, queued_jobs, submit, submit_one
from launcher.sweep.claims import give_up, is_gone, read_claims
from launcher.sweep.folder import SweepDir, read_planned
from launcher.sweep.outcome import CANCELLED, FAILED, RUNNING, WAITING
from launcher.sweep.read import Sweep, read_sweep
from launcher.sweep.result import ResumedSweep, SweepResult, Tell
from launcher.sweep.trials import ranges


def resume_sweep(sweep: SweepDir, tell: Tell, *, only_failed: bool) -> SweepResult:
    """The result; RunError if nothing is left to resume."""
    spec = sweep.read_spec()
    check_starts(sweep, spec)
    cluster = queue_of(spec)
    jobs = _settle(sweep, cluster) if cluster else []
    now = read_sweep(sweep.path)
    chosen = _open(sweep, now, only_failed=only_failed, waiting=not jobs)
    if not chosen and (now.sampler == "grid" or jobs or only_failed):
        raise RunError(f"{sweep.name} has nothing to resume: {_states(now)}")
    reopen(sweep, chosen)
    return start_again(sweep, spec, chosen, cluster, tell, alive=bool(jobs))


def go_on(sweep: SweepDir, note: str, tell: Tell) -> SweepResult:
    """The result for a sweep whose allocation was queued again; resumes the trials that ran there or were cancelled."""
    chosen: list[int] = []
    if not sweep.stop.exists():
        states = (RUNNING, CANCELLED)
        chosen = [trial.number for trial in read_sweep(sweep.path).trials if trial.state in states]
        reopen(sweep, chosen)
    return start_again(sweep, sweep.read_spec(), chosen, None, tell, note)


def _settle(sweep: SweepDir, cluster: Cluster) -> list[str]:
    """The sweep's jobs in the queue, after the arrays that an interrupted submission left out are queued."""
    submit(sweep, cluster)
    return queued_jobs(sweep, cluster)


def _open(sweep: SweepDir, now: Sweep, *, only_failed: bool, waiting: bool) -> list[int]:
    """Numbers of the trials to train again. `waiting`: also those that no job of the sweep would start."""
    claims, kind = read_claims(sweep), str(sweep.read_spec()["cluster"])
    chosen: list[int] = []
    for trial in now.trials:
        dead = trial.state == RUNNING and is_gone(kind, claims[trial.number]["worker"])
        wanted = trial.state == FAILED if only_failed else trial.state in (FAILED, CANCELLED) or dead
        if wanted or (trial.state == WAITING and waiting and not only_failed):
            chosen.append(trial.number)
    return chosen


def reopen(sweep: SweepDir, chosen: list[int]) -> None:
    """Lets workers claim these trials again. Their run dirs stay; a trial without a run dir is planned again."""
    earlier = sweep.outcomes / "earlier"
    lines = read_planned(sweep)
    for number in chosen:
        outcome = sweep.outcomes / f"{number}.json"
        if outcome.exists():
            earlier.mkdir(exist_ok=True)
            at = sum(1 for _ in earlier.glob(f"{number}.*.json"))
            outcome.replace(earlier / f"{number}.{at}.json")
        give_up(sweep, number)
    again = {number for number in chosen if not sweep.trial(number).path.is_dir()}
    fresh = [{**line, "digest": None} if line["number"] in again else line for line in lines]
    write_text(sweep.trials, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in fresh))
    sweep.stop.unlink(missing_ok=True)


def start_again(
    sweep: SweepDir,
    spec: dict[str, Any],
    chosen: list[int],
    cluster: Cluster | None,
    tell: Tell,
    *notes: str,
    alive: bool = False,
) -> SweepResult:
    """The result, after the chosen trials, or the workers of a sampler if none is `alive`, are queued or left to the caller."""
    if cluster is None:
        os.chdir(spec["work_dir"])
    job_ids = _queue(sweep, spec, chosen, cluster, alive=alive) if cluster else []
    found = ResumedSweep(sweep=sweep, trials=chosen, job_ids=job_ids, here=cluster is None, notes=notes)
    tell(found)
    return found


def _queue(
    sweep: SweepDir, spec: dict[str, Any], chosen: list[int], cluster: Cluster, *, alive: bool
) -> list[str]:
    """Ids of the arrays that were queued."""
    job_ids: list[str] = []
    limit = f"%{spec['parallel']}" if spec["parallel"] else ""
    arrays: list[dict[str, Any]] = spec["arrays"]
    for array in arrays:
        indices: list[int] = array["indices"]
        numbers = [index for index in indices if int(array["first"]) + index in chosen]
        if spec["sampler"] != "grid":
            numbers, limit = ([] if alive else indices), ""
        if numbers:
            tasks = f"{ranges(numbers)}{limit}"
            job_ids.append(submit_one(sweep, cluster, array["script"], tasks, again=True))
    return job_ids


def _states(now: Sweep) -> str:
    states = {trial.state for trial in now.trials}
    return ", ".join(f"{now.count(state)} {state}" for state in sorted(states)) or "there is no trial yet"
