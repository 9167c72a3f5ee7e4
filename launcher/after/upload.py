"""The upload of a folder to a repository on a model hub: one commit with all files; only --force overwrites files."""

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

from launcher.errors import RunError
from launcher.launching.push_target import HubRepository, PushFailed, look, refusal
from launcher.output import align
from launcher.units import mebibytes, plural

_TRIES_S = (0.0, 2.0, 10.0, 60.0)
"""Seconds before each try to send a file."""
ADAPTER = "adapter_config.json"
_WHOLE = "config.json"
_LATER = (408, 429)
"""HTTP statuses of a request that may succeed later."""
_BLOCK = 4 << 20


class PushResult(TypedDict):
    """What was pushed to a model hub."""

    folder: str
    """Absolute path of the folder that was pushed."""
    repository: str
    """OWNER/NAME."""
    url: str
    """Address of the repository's page."""
    private: bool
    """Whether the repository is private."""
    commit: str | None
    """The commit that holds the files."""
    files: int
    """Files that the commit changed; 0 if the repository had them all."""
    bytes: int
    """Size of these files."""
    same: int
    """Files that the repository had already, with the same content."""
    warning: str | None
    """What the user should know, in one sentence; null for nothing."""


def upload(
    client: Any, folder: Path, name: str, remote: HubRepository, *, private: bool, force: bool, quiet: bool, message: str,
    warning: str | None,
) -> PushResult:  # fmt: skip
    """What was sent, after it was compared with the folder.

    RunError for a repository with other content; PushFailed if the hub does not answer or the upload ends early.
    """
    files = {
        str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if _counts(path, folder)
    }
    same = [
        path
        for path, digest in remote.files.items()
        if path in files and _digest(files[path], digest) == digest
    ]
    _check_free(name, files, remote, same, force=force)
    new = {path: file for path, file in files.items() if path not in same}
    head = remote.head
    if new:
        head = _send(client, name, new, remote, private=private, quiet=quiet, message=message)
    after = look(client, name)
    wrong = [
        path for path in files if _digest(files[path], after.files.get(path, "")) != after.files.get(path)
    ]
    if wrong:
        raise PushFailed(
            f"{wrong[0]} in {name} differs from the file here, or is missing there; type the command again"
        )
    return {
        "folder": str(folder), "repository": name, "url": f"{client.endpoint}/{name}",
        "private": bool(after.private), "commit": head, "files": len(new),
        "bytes": sum(file.stat().st_size for file in new.values()), "same": len(same), "warning": warning,
    }  # fmt: skip


def describe(result: PushResult) -> str:
    """What was pushed as text."""
    sent = f"{plural(result['files'], 'file')}, {mebibytes(result['bytes'])}"
    if result["files"] == 0:
        sent = "nothing: the repository had all files"
    elif result["same"]:
        sent += f"; the repository already had {plural(result['same'], 'file')}"
    return align(
        [
            ("pushed", result["folder"]),
            ("to", f"{result['url']} ({'private' if result['private'] else 'public'})"),
            ("sent", sent),
            ("checked", "each file there has the same digest as the file here"),
        ]
    )


def _counts(path: Path, folder: Path) -> bool:
    """Whether the file is pushed; RunError for a link that leads out of the folder, to what was never exported."""
    if path.is_symlink() and path.is_file() and not path.resolve().is_relative_to(folder.resolve()):
        raise RunError(
            f"{path} is a link to {path.resolve()}, outside of {folder}; nothing was pushed: remove it"
        )
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _check_free(
    name: str, files: Mapping[str, Path], remote: HubRepository, same: Sequence[str], *, force: bool
) -> None:
    """RunError for a repository with other content, unless files of the same name are to be replaced."""
    other = [path for path in remote.files if path not in same]
    if not other:
        return
    more = f" and {len(other) - 1} more" if len(other) > 1 else ""
    if not force:
        raise RunError(
            f"{name} exists and holds other content ({other[0]}{more}); nothing was overwritten: choose another name with "
            "--to, or replace files of the same name with --force (the old ones stay in its history)"
        )
    left = [path for path in other if path not in files]
    mixed = ADAPTER if ADAPTER in left else _WHOLE if ADAPTER in files and _WHOLE in left else None
    if mixed:
        raise RunError(
            f"{name} holds {mixed}, which would be loaded together with what is pushed; choose another name with --to, or "
            "delete it there"
        )


def _send(
    client: Any,
    name: str,
    files: Mapping[str, Path],
    remote: HubRepository,
    *,
    private: bool,
    quiet: bool,
    message: str,
) -> str:
    """The commit, after every file was sent. What was sent before an interruption is not sent again."""
    library: Any = import_module("huggingface_hub")
    errors: Any = import_module("huggingface_hub.errors")
    if quiet or not sys.stderr.isatty():
        library.utils.disable_progress_bars()
    operations = [
        library.CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(file))
        for path, file in files.items()
    ]
    failures = (errors.HfHubHTTPError, errors.HTTPError, OSError, ValueError, RuntimeError)
    try:
        if not remote.exists:
            client.create_repo(name, private=private)
        for operation in operations:
            _send_one(client, name, operation, failures)
        head = remote.head or client.repo_info(name).sha
        made = client.create_commit(name, operations, commit_message=message, parent_commit=head)
    except failures as error:
        refused = refusal(_cause(error), name)
        if isinstance(refused, PushFailed):
            raise PushFailed(f"{refused}; type the command again: what was sent is kept") from None
        raise refused from None
    return str(made.oid)


def _send_one(client: Any, name: str, operation: Any, failures: tuple[type[Exception], ...]) -> None:
    """Sends one large file to the hub's storage, before the commit; small files are part of the commit."""
    for last, wait in enumerate(_TRIES_S, start=1 - len(_TRIES_S)):
        time.sleep(wait)
        try:
            client.preupload_lfs_files(name, [operation])
            return
        except failures as error:
            status = getattr(getattr(_cause(error), "response", None), "status_code", 0)
            if last == 0 or (400 <= status < 500 and status not in _LATER):
                raise


def _cause(error: Exception) -> Exception:
    """The error of the hub that caused an error in a thread of the library."""
    while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _digest(file: Path, like: str) -> str:
    """The file's digest of the same kind as `like`: SHA-256, or git's object id."""
    digest = hashlib.sha256()
    if len(like) != digest.digest_size * 2:
        digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode())
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
