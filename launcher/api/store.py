"""The database of the server: SQLite in WAL mode, one connection per thread, every change in one transaction.

What has been answered is on the disk (synchronous=FULL), so that a server that is killed at any point loses nothing.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from launcher.errors import RunError

VERSION = 1
STATUSES = ("validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled")
"""The API's statuses of a job, and `paused`."""
OVER = ("succeeded", "failed", "cancelled")
"""Those of a job that has ended, or that the API calls ended while its run still saves."""
_BUSY_S = 30.0
_TABLES = """
CREATE TABLE tenants (
    name TEXT PRIMARY KEY, key_hash TEXT UNIQUE NOT NULL, created_at INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0,
    max_bytes INTEGER NOT NULL, max_jobs INTEGER NOT NULL, max_gpu_hours REAL
);
CREATE TABLE files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, tenant TEXT NOT NULL REFERENCES tenants(name),
    filename TEXT NOT NULL, bytes INTEGER NOT NULL, purpose TEXT NOT NULL, created_at INTEGER NOT NULL, sha256 TEXT NOT NULL,
    expires_at INTEGER
);
CREATE INDEX files_of_tenant ON files (tenant, number);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, tenant TEXT NOT NULL REFERENCES tenants(name),
    created_at INTEGER NOT NULL, request TEXT NOT NULL, request_key TEXT, model TEXT NOT NULL, method TEXT NOT NULL,
    hyperparameters TEXT NOT NULL, rows INTEGER, training_file TEXT NOT NULL,
    training_sha256 TEXT NOT NULL, validation_file TEXT, validation_sha256 TEXT, suffix TEXT, seed INTEGER NOT NULL,
    metadata TEXT, status TEXT NOT NULL, stage TEXT NOT NULL, wish TEXT NOT NULL DEFAULT 'run', run TEXT,
    submitted INTEGER NOT NULL DEFAULT 0, pauses INTEGER NOT NULL DEFAULT 0, error TEXT, trained_tokens INTEGER,
    fine_tuned_model TEXT UNIQUE, finished_at INTEGER, result_file TEXT, gpu_s REAL NOT NULL DEFAULT 0,
    UNIQUE (tenant, request_key)
);
CREATE INDEX jobs_of_tenant ON jobs (tenant, number);
CREATE INDEX jobs_at_stage ON jobs (stage, number);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, job TEXT NOT NULL REFERENCES jobs(id),
    source TEXT NOT NULL, created_at INTEGER NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL, data TEXT,
    UNIQUE (job, source)
);
CREATE TABLE checks (
    sha256 TEXT NOT NULL, method TEXT NOT NULL, rows INTEGER NOT NULL, fault TEXT, PRIMARY KEY (sha256, method)
);
"""

Row = sqlite3.Row


class Store:
    """The database in a data folder."""

    def __init__(self, folder: Path) -> None:
        """Opens or creates it; RunError if it cannot be opened, is not a database, or is of another version of this program."""
        self.path = folder / "api.sqlite3"
        self._local = threading.local()
        self._writing = threading.Lock()
        try:
            # only for this user: hashes of keys and texts of users are in it
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self._create()
        except (OSError, sqlite3.DatabaseError) as error:
            raise RunError(
                f"{self.path} cannot be used as the database of serve-api: {error}; restore it from a copy, or use another "
                "--data-dir"
            ) from None

    def _create(self) -> None:
        """Makes the tables of a new database; RunError for one of another version."""
        with self.change() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _TABLES.split(";\n"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise RunError(
                    f"{self.path} was made by another version of this program (schema {version}, here {VERSION}); use that "
                    "version, or another --data-dir"
                )

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """The rows of a query."""
        return self._connection().execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Row | None:
        """The first row of a query; None if there is none."""
        return self._connection().execute(sql, values).fetchone()

    def value(self, sql: str, *values: Any) -> Any:
        """The first value of the first row."""
        found = self.row(sql, *values)
        assert found is not None
        return found[0]

    @contextlib.contextmanager
    def change(self) -> Generator[sqlite3.Connection]:
        """A transaction: all of the block is stored when it ends, or nothing if it raises."""
        db = self._connection()
        with self._writing:  # other processes (the verbs of keys) wait in SQLite
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            db.row_factory = sqlite3.Row
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                db.execute(f"PRAGMA {pragma}")
            self._local.db = db
        return db
