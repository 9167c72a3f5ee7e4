"""Cancelling a sweep."""

import json

from launcher.run import now, write_text
from launcher.run.events.launching import Cancelled
from launcher.sweep.claims import read_claims
from launcher.sweep.folder import SweepDir
from launcher.sweep.jobs import queue_of, queued_jobs
from launcher.sweep.worker import is_gone


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
