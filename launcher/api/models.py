"""The models that a tenant may name: those to train, and those that its own jobs have made, with their checkpoints."""

import re
from dataclasses import dataclass
from pathlib import Path

from launcher.after.serve.documents import RequestRefused
from launcher.api.data_dir import DataDir
from launcher.api.documents import Document, model_document
from launcher.api.offers import Offers
from launcher.api.progress import checkpoint_documents
from launcher.api.store import Row, Store
from launcher.api.tenants import Tenant
from launcher.run import RunDir

_CHECKPOINT = re.compile(r"(.+):ckpt-step-([0-9]{1,9})")
_OFFERED_BY = "system"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that a job has made."""

    run: Path
    """Its run dir."""
    step: int | None
    """The step of a checkpoint; None: the finished model."""


class Models:
    """The models of all tenants."""

    def __init__(self, store: Store, data_dir: DataDir, offers: Offers, started: int) -> None:
        """`started`: when the offered models count as created."""
        self._store, self._data_dir, self._offers, self._started = store, data_dir, offers, started

    def check_offered(self, name: str, method: str) -> None:
        """Raises RequestRefused for a model that cannot be trained with the method."""
        if method not in self._offers.models.get(name, {}):
            raise RequestRefused(
                f"the model {name[:100]} cannot be fine-tuned here; these can: {', '.join(sorted(self._offers.models))}",
                param="model",
                code="model_not_available",
            )

    def documents(self, tenant: Tenant) -> list[Document]:
        """All models that the tenant may name."""
        rows = self._store.rows(
            "SELECT * FROM jobs WHERE tenant = ? AND fine_tuned_model IS NOT NULL ORDER BY number",
            tenant.name,
        )
        offered = [model_document(name, self._started, _OFFERED_BY) for name in self._offers.models]
        return [*offered, *(_trained_document(row) for row in rows)]

    def document(self, tenant: Tenant, name: str) -> Document:
        """The model of that name; RequestRefused if the tenant may not name it."""
        if name in self._offers.models:
            return model_document(name, self._started, _OFFERED_BY)
        return _trained_document(self._find(tenant, name))

    def trained(self, tenant: Tenant, name: str) -> TrainedModel:
        """The model of the tenant that is to answer; RequestRefused if there is none of that name."""
        if name in self._offers.models:
            raise RequestRefused(
                f"{name} is a model to fine-tune and does not answer here; name the fine_tuned_model of a job",
                param="model",
                code="model_not_available",
            )
        matched = _CHECKPOINT.fullmatch(name)
        row = self._find(tenant, matched[1] if matched else name)
        run = self._run_of(row)
        step = int(matched[2]) if matched else None
        if step is not None and name not in {
            one["fine_tuned_model_checkpoint"] for one in self.checkpoints(row)
        }:
            raise _not_found(name)
        return TrainedModel(run=run.path, step=step)

    def checkpoints(self, row: Row) -> list[Document]:
        """The checkpoints of a job that has succeeded."""
        if row["fine_tuned_model"] is None:
            return []
        return checkpoint_documents(self._run_of(row), row["id"], row["fine_tuned_model"])

    def _run_of(self, row: Row) -> RunDir:
        return RunDir(self._data_dir.runs_of(row["id"]) / row["run"])

    def _find(self, tenant: Tenant, name: str) -> Row:
        row = self._store.row(
            "SELECT * FROM jobs WHERE fine_tuned_model = ? AND tenant = ?", name, tenant.name
        )
        if row is None:
            raise _not_found(name)
        return row


def _trained_document(row: Row) -> Document:
    return model_document(row["fine_tuned_model"], row["finished_at"], row["tenant"])


def _not_found(name: str) -> RequestRefused:
    return RequestRefused(
        f"The model {name[:200]} does not exist or you do not have access to it",
        status=404,
        param="model",
        code="model_not_found",
    )
