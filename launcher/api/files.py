"""Uploaded files: a row in the database and a file that has the name of its id. The name that a client gives is only shown."""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.after.serve.documents import RequestRefused
from launcher.api.data_dir import DataDir, new_id, remove
from launcher.api.documents import Document, file_document
from launcher.api.pages import ListPage, read_page
from launcher.api.store import Row, Store
from launcher.api.tenants import Tenant, check_bytes
from launcher.output import visible

TRAINING = "fine-tune"
RESULTS = "fine-tune-results"
_LONGEST_NAME = 255
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload that has arrived completely."""

    filename: str
    content: Any
    """An open binary file."""
    expires_s: int | None = None


class StoredFiles:
    """The files of all tenants."""

    def __init__(self, store: Store, data_dir: DataDir) -> None:
        self._store, self._data_dir = store, data_dir

    def add(self, tenant: Tenant, upload: Upload) -> Document:
        """The document of a new file, whose content is on the disk before anybody is told its id."""
        file_id, moment = new_id("file"), int(time.time())
        path = self._data_dir.incoming / file_id
        try:
            size, digest = _write(upload.content, path)
            with self._store.change() as db:
                check_bytes(db, tenant, size)
                path.rename(self._data_dir.file(file_id))
                _sync_folder(self._data_dir.file(file_id).parent)
                db.execute(
                    "INSERT INTO files (id, tenant, filename, bytes, purpose, created_at, sha256, expires_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        file_id,
                        tenant.name,
                        shown_name(upload.filename),
                        size,
                        TRAINING,
                        moment,
                        digest,
                        None if upload.expires_s is None else moment + upload.expires_s,
                    ),
                )
        except BaseException:
            remove(path)
            remove(self._data_dir.file(file_id))
            raise
        return self.document(tenant, file_id)

    def find(self, tenant: Tenant, file_id: str) -> Row:
        """The row of a file of the tenant; RequestRefused if it has no such file, whoever else may have it."""
        row = self._store.row("SELECT * FROM files WHERE id = ? AND tenant = ?", file_id, tenant.name)
        if row is None or (row["expires_at"] is not None and row["expires_at"] < time.time()):
            raise RequestRefused(f"No such File object: {file_id[:100]}", status=404, param="id")
        return row

    def document(self, tenant: Tenant, file_id: str) -> Document:
        """The document of a file."""
        return file_document(self.find(tenant, file_id))

    def content(self, tenant: Tenant, file_id: str) -> tuple[Path, Row]:
        """Where the content of a file is, and its row."""
        row = self.find(tenant, file_id)
        return self._data_dir.file(row["id"]), row

    def delete(self, tenant: Tenant, file_id: str) -> Document:
        """The API's answer to a deletion. A job that uses the file has a link of its own to the content."""
        row = self.find(tenant, file_id)
        with self._store.change() as db:
            db.execute("DELETE FROM files WHERE id = ? AND tenant = ?", (row["id"], tenant.name))
        remove(self._data_dir.file(row["id"]))
        return {"id": row["id"], "object": "file", "deleted": True}

    def page(self, tenant: Tenant, page: ListPage, purpose: str | None) -> Document:
        """A page of the tenant's files."""
        where, values = "tenant = ? AND COALESCE(expires_at, ?) >= ?", [tenant.name, *[int(time.time())] * 2]
        if purpose is not None:
            where, values = f"{where} AND purpose = ?", [*values, purpose]
        return read_page(self._store, page, "files", where, values, file_document)

    def remove_expired(self) -> None:
        """Deletes the files whose time is over."""
        for row in self._store.rows("SELECT id FROM files WHERE expires_at < ?", int(time.time())):
            with self._store.change() as db:
                db.execute("DELETE FROM files WHERE id = ?", (row["id"],))
            remove(self._data_dir.file(row["id"]))


def shown_name(name: str) -> str:
    """The last part of a client's name of a file, as a text that is only shown."""
    last = visible(name.replace("\\", "/").rpartition("/")[2])[:_LONGEST_NAME].strip()
    return last or "file.jsonl"


def _write(content: Any, path: Path) -> tuple[int, str]:
    """Number of bytes and SHA-256 of what was copied to the disk."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        while piece := content.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
