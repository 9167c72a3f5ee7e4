"""A provider's job as JSON and as text, and the wait for its end."""

import sys
import time
from typing import Any

from launcher.managed.api import Api
from launcher.managed.records import Records

SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
_OVER = (SUCCEEDED, FAILED, CANCELLED)
_LONGEST_POLL_S = 60.0


def wait_for(api: Api, records: Records, job_id: str, every_s: float, *, quiet: bool) -> dict[str, Any]:
    """The job after its end. Its events are printed as they arrive, on stderr if `quiet`; the polling interval grows while no
    new events arrive."""
    seen: set[str] = set()
    wait_s = every_s
    out = sys.stderr if quiet else sys.stdout
    while True:
        job = api.job(job_id)
        records.note_job(job)
        news = [event for event in api.events(job_id) if event["id"] not in seen]
        for event in news:
            seen.add(event["id"])
            print(f"{job_id}  {' '.join(str(event['message']).split())}", file=out, flush=True)
        if job["status"] in _OVER:
            return job
        wait_s = every_s if news else min(wait_s * 1.5, max(_LONGEST_POLL_S, every_s))
        time.sleep(wait_s)


def has_failed(job: dict[str, Any]) -> bool:
    """Whether the job has ended without a model."""
    return job["status"] in (FAILED, CANCELLED)


def job_dict(job: dict[str, Any]) -> dict[str, Any]:
    """The job as plain JSON values."""
    names = ("id", "status", "model", "fine_tuned_model", "trained_tokens", "error")
    return {name: job.get(name) for name in names}


def job_lines(job: dict[str, Any]) -> list[tuple[str, str]]:
    """The job as (label, text) lines."""
    failure: dict[str, Any] = job.get("error") or {}
    error = failure.get("message")
    lines = [("job", str(job["id"])), ("state", str(job["status"]))]
    lines += [("error", " ".join(str(error).split()))] if error else []
    lines += [("trained", f"{job['trained_tokens']:,} tokens")] if job.get("trained_tokens") else []
    if job["status"] in _OVER:
        return [*lines, *([("model", str(job["fine_tuned_model"]))] if job.get("fine_tuned_model") else [])]
    return [*lines, ("next", f"python -m launcher managed poll {job['id']}")]


def estimate_lines(about: dict[str, Any]) -> list[tuple[str, str]]:
    """The estimate of the training as (label, text) lines."""
    assumed = " (auto: this number is assumed)" if about["epochs_assumed"] else ""
    lines = [("training", f"about {about['tokens']:,} tokens x {about['epochs']} epochs{assumed}")]
    price = about["price"]
    return [
        *lines,
        ("price", f"about {price:,.2f}" if price is not None else "not known; give --price-per-million"),
    ]
