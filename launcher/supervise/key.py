"""The key of a job: a file in the run dir that this user alone can read, by which supervisor and agents know each other.

It is neither in the environment nor on a command line, and a new one is made for every job.
"""

import hmac
import json
import os
import secrets
from pathlib import Path

from launcher.errors import RunError
from launcher.run import RunDir

_FILE = ".key"
_BYTES = 32
_TEXT = 2 * _BYTES


def key_path(run: RunDir) -> Path:
    """Where the key of the run's present job is."""
    return run.path / _FILE


def write_key(run: RunDir) -> bytes:
    """A new key, once it is in place of an older one."""
    key, path = secrets.token_hex(_BYTES), key_path(run)
    temporary = path.with_name(f"{_FILE}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, key.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    return key.encode()


def read_key(run: RunDir) -> bytes:
    """The key of the run's present job; RunError if it is missing or no key."""
    path = key_path(run)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            key = os.read(descriptor, _TEXT + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(
            f"{path} cannot be read ({error.strerror}); every node of the job must see the run dir, as the same user"
        ) from None
    if len(key) != _TEXT:
        raise RunError(f"{path} holds {len(key)} bytes and no key; cancel the job and resume the run")
    return key


def remove_key(run: RunDir, key: bytes) -> None:
    """Removes the key, unless a later job has its own there."""
    try:
        if read_key(run) == key:
            key_path(run).unlink()
    except (OSError, RunError):
        return


def prove(key: bytes, role: str, *said: str) -> str:
    """What only a holder of the key can say in answer to `said`; `role` keeps one side's words from serving as the other's.

    Source: RFC 2104, HMAC with SHA-256.
    """
    return hmac.new(key, json.dumps((role, *said)).encode(), "sha256").hexdigest()


def is_proof(given: str, wanted: str) -> bool:
    """Whether a proof is the wanted one, in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
