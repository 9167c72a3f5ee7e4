"""Calls of the launcher's own verbs, each in a process of its own.

A data file that exhausts the memory, or a fault of a launch, ends that process and not the server. The words are made by the
server, and no shell reads them.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from launcher.errors import ClusterError, LauncherError
from launcher.processes import death_with_parent

_TIMEOUT_S = 900.0
_SHOWN = 300


class CallFailed(LauncherError):
    """The verb gave no answer: it was killed, it failed, or it exceeded its time limit."""


class Refusal(LauncherError):
    """The verb has refused what was asked; the message is its own."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """The class of its error, such as DataError."""


def call(words: Sequence[str], folder: Path) -> dict[str, Any]:
    """What the verb prints under --json.

    Refusal, CallFailed, or ClusterError if the cluster does not answer the verb, which may do later.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "launcher", *words, "--json"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            preexec_fn=death_with_parent(),
            start_new_session=True,  # Ctrl-C must reach only the server
        )
    except subprocess.TimeoutExpired:
        raise CallFailed(f"launcher {words[0]} gave no answer within {_TIMEOUT_S:g} s") from None
    lines = done.stdout.strip().splitlines()
    try:
        found: Any = json.loads(lines[-1])
    except (IndexError, ValueError):
        said = " ".join(done.stderr.split())[-_SHOWN:]
        raise CallFailed(f"launcher {words[0]} ended with {done.returncode}: {said}") from None
    if error := cast("dict[str, Any]", found).get("error") if done.returncode else None:
        if error["kind"] == ClusterError.__name__:
            raise ClusterError(str(error["message"]))
        raise Refusal(str(error["kind"]), str(error["message"]))
    return cast("dict[str, Any]", found)
