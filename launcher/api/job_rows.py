"""The jobs of all tenants as rows: how one is created, found, listed, and asked to pause, to go on or to end."""

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from launcher.after.serve.documents import RequestRefused
from launcher.api.data_dir import DataDir, new_id, remove
from launcher.api.documents import Document, event_document, job_document
from launcher.api.files import StoredFiles
from launcher.api.pages import ListPage, read_page
from launcher.api.store import OVER, Row, Store
from launcher.api.tenants import Tenant, check_jobs
from launcher.run.locks import link_or_copy

if TYPE_CHECKING:  # pydantic, which is installed only where requests are read
    from launcher.api.job_request import FineTuneRequest

AT_REST = ("check", "plan", "stopped")
"""Stages in which nothing of the job is in a queue or running."""
TRAINING_DATA, VALIDATION_DATA = "train.jsonl", "eval.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to create."""

    request: "FineTuneRequest"
    request_key: str | None
    """The header Idempotency-Key: the same key is the same job."""


class Jobs:
    """The jobs of all tenants."""

    def __init__(self, store: Store, data_dir: DataDir, files: StoredFiles) -> None:
        self._store, self._data_dir, self._files = store, data_dir, files

    def create(self, tenant: Tenant, new: NewJob) -> Document:
        """The document of a new job, or of the one that the same Idempotency-Key has created."""
        if known := self.repeated(tenant, new):
            return known
        asked = new.request
        given = asked.asked_hyperparameters()
        job_id = new_id("ftjob")
        folder = self._data_dir.job(job_id)
        try:
            folder.mkdir(mode=0o700)
            training = self._take(tenant, asked.training_file, "training_file", folder / TRAINING_DATA)
            validation = asked.validation_file and self._take(
                tenant, asked.validation_file, "validation_file", folder / VALIDATION_DATA
            )
            moment = int(time.time())
            with self._store.change() as db:
                check_jobs(db, tenant)
                db.execute(
                    "INSERT INTO jobs (id, tenant, created_at, request, request_key, model, method, hyperparameters, "
                    "training_file, training_sha256, validation_file, validation_sha256, suffix, seed, metadata, status, "
                    "stage) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'validating_files', 'check')",
                    (
                        job_id,
                        tenant.name,
                        moment,
                        asked.model_dump_json(),
                        new.request_key,
                        asked.model,
                        asked.method_name,
                        json.dumps(given),
                        asked.training_file,
                        training,
                        asked.validation_file,
                        validation or None,
                        asked.suffix,
                        asked.chosen_seed(),
                        None if asked.metadata is None else json.dumps(asked.metadata),
                    ),
                )
                add_event(db, job_id, "created", f"Created fine-tuning job: {job_id}")
                add_event(db, job_id, "check", f"Validating training file: {asked.training_file}")
        except BaseException as error:
            remove(folder)
            if isinstance(error, sqlite3.IntegrityError) and (known := self.repeated(tenant, new)):
                return known  # the same request arrived twice at the same time
            raise
        return self.document(tenant, job_id)

    def repeated(self, tenant: Tenant, new: NewJob) -> Document | None:
        """The document of the job that an earlier request with the same Idempotency-Key has created; None if there is none.

        RequestRefused if that was another request.
        """
        if new.request_key is None:
            return None
        sql = "SELECT * FROM jobs WHERE tenant = ? AND request_key = ?"
        known = self._store.row(sql, tenant.name, new.request_key)
        if known is None:
            return None
        # compared as requests: an older version of this program may have stored fewer fields
        if type(new.request).model_validate_json(known["request"]) != new.request:
            _refuse("this Idempotency-Key was used for another request; use a new one", None, 409)
        return job_document(known, tenant)

    def find(self, tenant: Tenant, job_id: str) -> Row:
        """The row of a job of the tenant; RequestRefused if it has no such job, whoever else may have it."""
        row = self._store.row("SELECT * FROM jobs WHERE id = ? AND tenant = ?", job_id, tenant.name)
        if row is None:
            _refuse(f"Could not find fine tune: {job_id[:100]}", "fine_tuning_job_id", 404)
        return row

    def document(self, tenant: Tenant, job_id: str) -> Document:
        """The document of a job."""
        return job_document(self.find(tenant, job_id), tenant)

    def page(self, tenant: Tenant, page: ListPage, metadata: Mapping[str, str] | None) -> Document:
        """A page of the tenant's jobs whose metadata has these values; None: of jobs without metadata."""
        where, values = (
            "tenant = ?" + ("" if metadata is not None else " AND metadata IS NULL"),
            [tenant.name],
        )
        for name, value in (metadata or {}).items():
            where += " AND EXISTS (SELECT 1 FROM json_each(jobs.metadata) AS one WHERE one.key = ? AND one.value = ?)"
            values += [name, value]
        return read_page(self._store, page, "jobs", where, values, lambda row: job_document(row, tenant))

    def events(self, tenant: Tenant, job_id: str, page: ListPage) -> Document:
        """A page of what happened to a job, the newest first."""
        row = self.find(tenant, job_id)
        return read_page(self._store, page, "events", "job = ?", [row["id"]], event_document)

    def cancel(self, tenant: Tenant, job_id: str) -> Document:
        """The document of a job that ends as soon as it can."""
        row = self.find(tenant, job_id)
        with self._store.change() as db:
            row = _not_ended(db, row, "cancelled")
            if row["stage"] in AT_REST:
                end_job(db, row, "cancelled", "The job was cancelled")
            else:  # the API shows what was asked for; the run ends within its grace period
                db.execute(
                    "UPDATE jobs SET wish = 'cancel', status = 'cancelled', finished_at = ? WHERE id = ?",
                    (int(time.time()), row["id"]),
                )
                add_event(db, row["id"], "cancel", "The job is being cancelled")
        if (
            row["stage"] in AT_REST
        ):  # a step that a thread takes now fails, and finds then that the job is over
            remove(self._data_dir.job(row["id"]))
        return self.document(tenant, job_id)

    def pause(self, tenant: Tenant, job_id: str) -> Document:
        """The document of a job that saves and stops as soon as it can."""
        row = self.find(tenant, job_id)
        with self._store.change() as db:
            row = _not_ended(db, row, "paused")
            if row["status"] != "paused":
                db.execute("UPDATE jobs SET wish = 'pause', status = 'paused' WHERE id = ?", (row["id"],))
                add_event(db, row["id"], f"pause:{row['pauses']}", "The job is being paused")
        return self.document(tenant, job_id)

    def resume(self, tenant: Tenant, job_id: str) -> Document:
        """The document of a paused job that goes on."""
        row = self.find(tenant, job_id)
        with self._store.change() as db:
            row = _not_ended(db, row, "resumed")
            if row["status"] != "paused":
                _refuse(f"Job {row['id']} is {row['status']} and not paused", "fine_tuning_job_id")
            status = "validating_files" if row["stage"] == "check" else "queued"
            db.execute(
                "UPDATE jobs SET wish = 'run', status = ?, pauses = pauses + 1 WHERE id = ?",
                (status, row["id"]),
            )
            add_event(db, row["id"], f"resume:{row['pauses']}", "The job was resumed")
        return self.document(tenant, job_id)

    def _take(self, tenant: Tenant, file_id: str, param: str, target: Path) -> str:
        """The SHA-256 of a file of the tenant, to which the job has its own link from now on; RequestRefused if there is no
        such file."""
        try:
            path, row = self._files.content(tenant, file_id)
            link_or_copy(path, target)
        except (RequestRefused, FileNotFoundError):
            _refuse(f"invalid {param}: {file_id[:100]}", param)
        if row["purpose"] != "fine-tune":
            _refuse(f"invalid {param}: {file_id} has purpose {row['purpose']}, not fine-tune", param)
        return row["sha256"]


def add_event(
    db: Any,
    job_id: str,
    source: str,
    message: str,
    level: str = "info",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Notes something that happened to a job. An event with a known `source` is not noted again, as by a repeated step."""
    db.execute(
        "INSERT OR IGNORE INTO events (id, job, source, created_at, level, message, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            new_id("ftevent"),
            job_id,
            source,
            int(time.time()),
            level,
            message,
            json.dumps(data) if data else None,
        ),
    )


def end_job(db: Any, row: Row, status: str, message: str, error: Mapping[str, Any] | None = None) -> None:
    """Ends a job without a model, unless it has ended."""
    done = db.execute(
        "UPDATE jobs SET status = ?, stage = 'over', finished_at = COALESCE(finished_at, ?), error = ? "
        "WHERE id = ? AND stage != 'over'",
        (status, int(time.time()), json.dumps(error) if error else None, row["id"]),
    ).rowcount
    if done:
        add_event(db, row["id"], "end", message, "error" if error else "info")


def _not_ended(db: Any, row: Row, what: str) -> Row:
    """The job's newest row; RequestRefused if it has ended."""
    found = db.execute("SELECT * FROM jobs WHERE id = ?", (row["id"],)).fetchone()
    if found["status"] in OVER:
        _refuse(f"Job {row['id']} is {found['status']} and cannot be {what}", "fine_tuning_job_id")
    return found


def _refuse(message: str, param: str | None, status: int = 400) -> NoReturn:
    raise RequestRefused(message, status=status, param=param)
