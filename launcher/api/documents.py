"""Rows of the database -> the documents that the API writes.

Source: OpenAI's openapi.yml 2.3.0: schemas OpenAIFile, FineTuningJob, FineTuningJobEvent, FineTuningJobCheckpoint and Model.
"""

import json
from collections.abc import Sequence
from typing import Any

from launcher.api.store import Row
from launcher.api.tenants import Tenant

Document = dict[str, Any]


def file_document(row: Row) -> Document:
    """An uploaded file, or the results of a job."""
    expires = {} if row["expires_at"] is None else {"expires_at": row["expires_at"]}
    return {
        "id": row["id"],
        "object": "file",
        "bytes": row["bytes"],
        "created_at": row["created_at"],
        "filename": row["filename"],
        "purpose": row["purpose"],
        "status": "processed",
        **expires,
    }


def job_document(row: Row, tenant: Tenant) -> Document:
    """A job."""
    given = json.loads(row["hyperparameters"])
    usual = {name: given[name] for name in ("n_epochs", "batch_size", "learning_rate_multiplier")}
    return {
        "id": row["id"],
        "object": "fine_tuning.job",
        "created_at": row["created_at"],
        "model": row["model"],
        "organization_id": tenant.name,
        "status": row["status"],
        "training_file": row["training_file"],
        "validation_file": row["validation_file"],
        "hyperparameters": usual,
        "method": {"type": row["method"], row["method"]: {"hyperparameters": given}},
        "seed": row["seed"],
        "user_provided_suffix": row["suffix"],
        "metadata": json.loads(row["metadata"]) if row["metadata"] else None,
        "integrations": [],
        "fine_tuned_model": row["fine_tuned_model"],
        "trained_tokens": row["trained_tokens"],
        "result_files": [row["result_file"]] if row["result_file"] else [],
        "error": json.loads(row["error"]) if row["error"] else None,
        "finished_at": row["finished_at"],
        "estimated_finish": None,
    }


def event_document(row: Row) -> Document:
    """Something that happened to a job."""
    data = json.loads(row["data"]) if row["data"] else None
    return {
        "id": row["id"],
        "object": "fine_tuning.job.event",
        "created_at": row["created_at"],
        "level": row["level"],
        "message": row["message"],
        "type": "metrics" if data else "message",
        "data": data or {},
    }


def model_document(name: str, created: int, owner: str) -> Document:
    """A model that can be trained or asked."""
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def list_document(data: Sequence[Document], has_more: bool) -> Document:
    """A page of a list. An empty page has empty ids."""
    return {
        "object": "list",
        "data": list(data),
        "has_more": has_more,
        "first_id": data[0]["id"] if data else "",
        "last_id": data[-1]["id"] if data else "",
    }
