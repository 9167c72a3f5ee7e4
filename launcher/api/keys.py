"""What the verbs of keys share: the folder that they are about, and what they print."""

import argparse
from pathlib import Path
from typing import TypedDict

from launcher.api.data_dir import DataDir
from launcher.api.store import Row, Store
from launcher.errors import Exit
from launcher.output import print_json, print_text


class ApiKey(TypedDict):
    """A new key."""

    name: str
    """Whose it is."""
    key: str
    """The key itself, which is not stored and cannot be shown again."""


class ApiRevoked(TypedDict):
    """A name whose key is refused from now on."""

    name: str
    """Whose it was."""


class ApiTenant(TypedDict):
    """A name that may use the server."""

    name: str
    """The name; it is a part of the names of its models."""
    revoked: bool
    """Whether its key is refused."""
    bytes: int
    """Bytes of its files."""
    max_bytes: int
    """The most that are allowed."""
    jobs: int
    """Its jobs that have not ended."""
    max_jobs: int
    """The most that are allowed."""
    gpu_hours: float
    """GPU-hours of all its jobs; on CPUs, hours of ranks."""
    max_gpu_hours: float | None
    """The most that are allowed; null: no limit."""


class ApiTenants(TypedDict):
    """All names that may use the server, and those whose key was revoked."""

    tenants: list[ApiTenant]
    """By name."""


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Adds --data-dir."""
    parser.add_argument("--data-dir", type=Path, required=True, metavar="D", help="the folder of serve-api")


def open_store(options: argparse.Namespace) -> Store:
    """The database of the folder, which is made if there is none."""
    data_dir = DataDir(options.data_dir.absolute())
    data_dir.make()
    return Store(data_dir.folder)


def print_key(options: argparse.Namespace, key: str) -> int:
    """The exit code, after a new key is printed."""
    made: ApiKey = {"name": options.name, "key": key}
    print_json(made) if options.json else print_text(key)
    return Exit.OK


def tenant_dict(row: Row) -> ApiTenant:
    """The tenant as plain JSON values."""
    return {
        "name": row["name"],
        "revoked": bool(row["revoked"]),
        "bytes": row["bytes"],
        "max_bytes": row["max_bytes"],
        "jobs": row["jobs"],
        "max_jobs": row["max_jobs"],
        "gpu_hours": round(row["gpu_s"] / 3600, 4),
        "max_gpu_hours": row["max_gpu_hours"],
    }
