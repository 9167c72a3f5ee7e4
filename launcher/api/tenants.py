"""Who may use the server: names with a key and quotas.

Of a key only its SHA-256 is stored. A slower hash is not needed, because a key has 256 random bits.
"""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

from launcher.after.serve.documents import RequestRefused
from launcher.api.store import OVER, Row, Store
from launcher.errors import UsageError, unknown

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a tenant may use."""

    bytes: int = 1 << 30
    """Bytes of all its files."""
    jobs: int = 100
    """Jobs that have not ended."""
    gpu_hours: float | None = None
    """GPU-hours of all its jobs, ended ones too (on CPUs: hours of ranks); None: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Who a request is from."""

    name: str
    quota: Quota


def add_tenant(store: Store, name: str, quota: Quota) -> str:
    """The key of a new tenant, which is told this once; UsageError for a name that is invalid or taken."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name} must be 1 to 32 of a-z 0-9 -, and not begin with -; it becomes a part of models' names"
        )
    key = _new_key()
    with store.change() as db:
        if db.execute("SELECT 1 FROM tenants WHERE name = ?", (name,)).fetchone():
            raise UsageError(
                f"{name} has a key already; api-keys rotate {name} replaces it, or choose another name"
            )
        db.execute(
            "INSERT INTO tenants (name, key_hash, created_at, max_bytes, max_jobs, max_gpu_hours) VALUES (?, ?, ?, ?, ?, ?)",
            (name, _hash(key), int(time.time()), quota.bytes, quota.jobs, quota.gpu_hours),
        )
    return key


def rotate_key(store: Store, name: str) -> str:
    """A new key of a tenant; the old one is refused from now on. A revoked tenant is allowed again."""
    key = _new_key()
    _update(store, name, "key_hash = ?, revoked = 0", _hash(key))
    return key


def revoke(store: Store, name: str) -> None:
    """Refuses the tenant's key from now on; its files, jobs and models stay."""
    _update(store, name, "revoked = 1")


def list_tenants(store: Store) -> list[Row]:
    """All tenants with what they use: bytes, jobs that have not ended, and gpu_s."""
    return store.rows(
        """SELECT t.*,
            (SELECT COALESCE(SUM(bytes), 0) FROM files f WHERE f.tenant = t.name) AS bytes,
            (SELECT COUNT(*) FROM jobs j WHERE j.tenant = t.name AND j.status NOT IN (?, ?, ?)) AS jobs,
            (SELECT COALESCE(SUM(gpu_s), 0) FROM jobs j WHERE j.tenant = t.name) AS gpu_s
            FROM tenants t ORDER BY t.name""",
        *OVER,
    )


def find_tenant(store: Store, authorization: str) -> Tenant:
    """The tenant whose key an Authorization header has; RequestRefused without a valid key."""
    kind, _, key = authorization.partition(" ")
    row = None
    if kind.lower() == "bearer":
        row = store.row("SELECT * FROM tenants WHERE key_hash = ? AND revoked = 0", _hash(key.strip()))
    if row is None:
        raise RequestRefused(
            "the request has no valid key; send the header Authorization: Bearer KEY",
            status=401,
            code="invalid_api_key",
        )
    return Tenant(
        name=row["name"],
        quota=Quota(bytes=row["max_bytes"], jobs=row["max_jobs"], gpu_hours=row["max_gpu_hours"]),
    )


def check_bytes(db: Any, tenant: Tenant, more: int) -> None:
    """Raises RequestRefused if the tenant's files would exceed its quota with `more` bytes."""
    (used,) = db.execute(
        "SELECT COALESCE(SUM(bytes), 0) FROM files WHERE tenant = ?", (tenant.name,)
    ).fetchone()
    if used + more > tenant.quota.bytes:
        _refuse(
            f"your files have {used:,} of {tenant.quota.bytes:,} bytes; delete some, or send a smaller file"
        )


def check_jobs(db: Any, tenant: Tenant) -> None:
    """Raises RequestRefused if the tenant may create no further job now."""
    (jobs,) = db.execute(
        "SELECT COUNT(*) FROM jobs WHERE tenant = ? AND status NOT IN (?, ?, ?)", (tenant.name, *OVER)
    ).fetchone()
    if jobs >= tenant.quota.jobs:
        _refuse(
            f"{jobs} of your jobs have not ended, and {tenant.quota.jobs} are allowed; wait, or cancel one"
        )
    if has_used_up(db, tenant):
        _refuse(f"your jobs have used your {tenant.quota.gpu_hours:g} GPU-hours; ask the operator for more")


def has_used_up(db: Any, tenant: Tenant) -> bool:
    """Whether the tenant's jobs have used its GPU-hours."""
    (used,) = db.execute(
        "SELECT COALESCE(SUM(gpu_s), 0) FROM jobs WHERE tenant = ?", (tenant.name,)
    ).fetchone()
    return tenant.quota.gpu_hours is not None and used >= tenant.quota.gpu_hours * 3600


def _refuse(message: str) -> None:
    raise RequestRefused(message, status=429, code="insufficient_quota")


def _update(store: Store, name: str, what: str, *values: Any) -> None:
    with store.change() as db:
        if not db.execute(f"UPDATE tenants SET {what} WHERE name = ?", (*values, name)).rowcount:
            known = [row["name"] for row in db.execute("SELECT name FROM tenants")]
            raise UsageError(unknown("tenant", name, known))


def _new_key() -> str:
    return f"sk-{secrets.token_urlsafe(32)}"


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
