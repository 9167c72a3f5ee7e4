"""A command of the launcher on the cluster, with its output and its exit code."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import IO, Any

from launcher.errors import ClusterError
from launcher.remote.connection import SSH_FAILED, SshConnection
from launcher.remote.talk import talk

_PIECE, _LONGEST = 1 << 16, 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line on the cluster."""

    words: Sequence[str]
    """The verb and its arguments."""
    folder: str
    """Absolute path of the folder in which it runs."""
    path: Sequence[str]
    """Folders from which the launcher and the user's code are imported."""
    base: str
    """cluster.ssh_dir."""
    answer: str | None = None
    """Name of the file into which a launch writes its run."""
    git: Mapping[str, Any] | None = None
    """The fields of the GitState of the working folder on this machine; only for a launch."""


def run_there(connection: SshConnection, python: str, command: Command) -> int:
    """The exit code; what the command prints is printed here. ClusterError if the connection is lost."""
    request = {
        "do": "run",
        "words": list(command.words),
        "folder": command.folder,
        "path": list(command.path),
        "base": command.base,
        "answer": command.answer,
        "git": command.git,
    }
    with talk(connection, python, request) as one:
        _copy(one.receive)
        code = one.process.wait()
    if code == SSH_FAILED or code < 0:  # negative: ssh itself was killed
        raise ClusterError(
            f"cluster.ssh={connection.ssh}: the connection was lost, and a run continues without it; repeat the command"
        )
    return code


def capture_there(connection: SshConnection, python: str, command: Command) -> tuple[int, bytes]:
    """The exit code, and what the command prints on stdout."""
    request = {
        "do": "run",
        "words": list(command.words),
        "folder": command.folder,
        "path": list(command.path),
        "base": command.base,
        "answer": None,
    }
    with talk(connection, python, request) as one:
        printed = one.receive.read(_LONGEST)
        return one.process.wait(), printed


def _copy(receive: IO[bytes]) -> None:
    assert isinstance(receive, BufferedReader)
    while piece := receive.read1(_PIECE):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
