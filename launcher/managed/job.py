"""A provider's job as JSON and as text, and the wait for its end."""

import sys
import time
from typing import Any, TypedDict

from launcher.managed.api import Api
from launcher.managed.records import Records
from launcher.output import align, print_json, print_text

SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
_OVER = (SUCCEEDED, FAILED, CANCELLED)
_LONGEST_POLL_S = 60.0


class ManagedJob(TypedDict):
    """A fine-tuning job of a provider. A field that the provider does not give is null."""

    id: str
    """The provider's id of the job."""
    status: str | None
    """The state as the provider names it, such as queued, running, succeeded, failed or cancelled."""
    model: str | None
    """The model that is fine-tuned."""
    fine_tuned_model: str | None
    """Name of the new model; null before the job has succeeded."""
    trained_tokens: int | None
    """Tokens that the provider has counted; null before the end."""
    error: dict[str, Any] | None
    """The provider's error, with its `message`."""


class ManagedJobs(TypedDict):
    """The newest jobs of a provider."""

    jobs: list[ManagedJob]
    """The newest first."""


class TrainingEstimate(TypedDict):
    """How much a job trains, and its price."""

    rows: int
    """Training rows."""
    tokens: int
    """Tokens of an epoch, estimated from the bytes of the texts."""
    epochs: int
    """Passes over the data."""
    epochs_assumed: bool
    """Whether the provider decides on the epochs, so that their number is an assumption."""
    price: float | None
    """The price of all epochs at --price-per-million; null without it."""


class ManagedCreated(ManagedJob):
    """A job that was created, or found from an earlier call of the same command."""

    estimate: TrainingEstimate
    """How much it trains, and its price."""
    existing: bool
    """Whether the same job was requested before, so that none was created."""


class Uploaded(TypedDict):
    """A data file at the provider."""

    file: str
    """The provider's id of the file."""
    rows: int
    """Its rows."""
    sha256: str
    """SHA-256 of the content that was uploaded."""
    existing: bool
    """Whether the provider had it already, so that nothing was uploaded."""


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
            print_text(f"{job_id}  {' '.join(str(event['message']).split())}", file=out, flush=True)
        if job["status"] in _OVER:
            return job
        wait_s = every_s if news else min(wait_s * 1.5, max(_LONGEST_POLL_S, every_s))
        time.sleep(wait_s)


def has_failed(job: dict[str, Any]) -> bool:
    """Whether the job has ended without a model."""
    return job["status"] in (FAILED, CANCELLED)


def job_dict(job: dict[str, Any]) -> ManagedJob:
    """The job as plain JSON values."""
    return {
        "id": job["id"],
        "status": job.get("status"),
        "model": job.get("model"),
        "fine_tuned_model": job.get("fine_tuned_model"),
        "trained_tokens": job.get("trained_tokens"),
        "error": job.get("error"),
    }


def print_job(job: dict[str, Any], *, as_json: bool) -> None:
    """Prints a job, for a machine or for a person."""
    if as_json:
        print_json(job_dict(job))
    else:
        print_text(align(job_lines(job)), flush=True)


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


def estimate_lines(about: TrainingEstimate) -> list[tuple[str, str]]:
    """The estimate of the training as (label, text) lines."""
    assumed = " (auto: this number is assumed)" if about["epochs_assumed"] else ""
    lines = [("training", f"about {about['tokens']:,} tokens x {about['epochs']} epochs{assumed}")]
    price = about["price"]
    return [
        *lines,
        ("price", f"about {price:,.2f}" if price is not None else "not known; give --price-per-million"),
    ]
