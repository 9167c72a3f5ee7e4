"""The request of `managed create`, and how it is sent only once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from launcher.data.check import check
from launcher.data.findings import said_line
from launcher.data.portion import CheckOptions
from launcher.errors import DataError, UsageError
from launcher.managed.api import Api, NotThere, Unanswered
from launcher.managed.job import TrainingEstimate, Uploaded
from launcher.managed.methods import METHODS
from launcher.managed.records import TAG, Records, tag_in, tag_of
from launcher.managed.rows import PreparedFile

_ASSUMED_EPOCHS = 3
"""The epochs assumed for epochs=auto, where the provider decides; OpenAI has used three for small files."""
_ENDED_BADLY = ("failed", "cancelled")
_SUFFIX = 64


def upload(api: Api, records: Records, source: Path, prepared: PreparedFile) -> Uploaded:
    """The id of the uploaded file; the same content is uploaded only once. DataError if the data check finds an error."""
    _check(source)
    known = records.uploaded(api.base, prepared.sha256)
    if known and _is_there(api, known):
        return {"file": known, "rows": prepared.rows, "sha256": prepared.sha256, "existing": True}
    found = api.upload(prepared.path)
    records.note_upload(api.base, prepared.sha256, str(found["id"]))
    return {"file": str(found["id"]), "rows": prepared.rows, "sha256": prepared.sha256, "existing": False}


def _is_there(api: Api, file_id: str) -> bool:
    try:
        return api.file(file_id).get("status") not in ("deleted", "error")
    except NotThere:
        return False


def _check(source: Path) -> None:
    report = check(CheckOptions(path=source)).to_dict()
    if report["verdict"] == "error":
        first = next(one for one in report["findings"] if one["level"] == "error")
        shows = f"python -m launcher data check {quote(str(source))} shows all"
        raise DataError(f"{source}{said_line(first)}: {first['message']} [{first['rule']}]; {shows}")


def estimate(prepared: PreparedFile, epochs: int | str, price_per_million: float | None) -> TrainingEstimate:
    """Estimated rows, tokens per epoch, epochs, and the total price; the provider counts with its own tokenizer."""
    if price_per_million is not None and not 0 <= price_per_million < float("inf"):
        raise UsageError(f"--price-per-million {price_per_million:g} must be a number of at least 0")
    times = _ASSUMED_EPOCHS if epochs == "auto" else int(epochs)
    price = None if price_per_million is None else round(prepared.tokens * times * price_per_million / 1e6, 4)
    return {
        "rows": prepared.rows,
        "tokens": prepared.tokens,
        "epochs": times,
        "epochs_assumed": epochs == "auto",
        "price": price,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The settings of a requested job, without its files; `auto` lets the provider choose a value."""

    model: str
    method: str
    suffix: str | None
    epochs: int | str
    batch_size: int | str
    learning_rate_multiplier: float | str
    beta: float | str
    seed: int | None

    def __post_init__(self) -> None:
        if self.suffix and len(self.suffix) > _SUFFIX:
            raise UsageError(f"--suffix has {len(self.suffix)} characters; use at most {_SUFFIX}")
        if self.beta != "auto" and not METHODS[self.method].has_beta:
            raise UsageError("--beta works only with --method dpo; take it out")

    def request(self, training: str, validation: str | None) -> dict[str, Any]:
        """The body of the request. Source: OpenAI's API reference, "Create fine-tuning job"."""
        named = {
            "n_epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate_multiplier": self.learning_rate_multiplier,
            **({"beta": self.beta} if METHODS[self.method].has_beta else {}),
        }
        given = {name: value for name, value in named.items() if value != "auto"}
        more = {"validation_file": validation, "suffix": self.suffix, "seed": self.seed}
        return {
            "model": self.model,
            "training_file": training,
            "method": {"type": self.method, self.method: {"hyperparameters": given}},
            **{name: value for name, value in more.items() if value is not None},
        }


def create(
    api: Api,
    records: Records,
    request: Mapping[str, Any],
    contents: Mapping[str, str],
    about: Mapping[str, Any],
    *,
    again: bool,
) -> tuple[dict[str, Any], bool]:
    """The job, and whether it existed already: a job that was requested before is reused, unless it failed or `again` is set.

    The request is recorded before it is sent and contains a tag, so that a job whose answer was lost is found again.
    `contents`: the SHA-256 of each file by its key in `request`, since a file that the provider deleted gets another id when it
    is uploaded again.
    """
    number = 0
    while record := records.read(tag := tag_of(api.base, {**request, **contents}, number)):
        job = _known(api, record, tag, again)
        if job is not None:
            records.note_job(job)
            if not again and job["status"] not in _ENDED_BADLY:
                return job, True
        elif record["job"] is None:
            break  # the request was recorded, but never reached the provider
        number += 1
    records.begin(tag, api.base, request, {"estimate": about})
    try:
        job = api.create({**request, "metadata": {TAG: tag}})
    except Unanswered as error:
        raise Unanswered(
            f"{error}; the job may exist; run the same command again: it finds the job, or creates it"
        ) from None
    records.note_job({**job, "metadata": {TAG: tag}})
    return job, False


def _known(api: Api, record: Mapping[str, Any], tag: str, again: bool) -> dict[str, Any] | None:
    """The provider's job for a record; None if it has none. NotThere for one that it has deleted, unless `again` is set."""
    if record["job"]:
        try:
            return api.job(str(record["job"]["id"]))
        except NotThere as error:
            if not again:
                raise NotThere(
                    f"{error}; this command created that job before, and the provider no longer has it; --again creates another"
                ) from None
            return None
    return next((job for job in api.jobs(1000) if tag_in(job) == tag), None)
