"""The agent's side of fetching from a hub: a process that runs launcher.train.fetch."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.processes import death_with_parent, exit_code
from launcher.protocol.agents import FetchEnded, FetchProgress


class FetchProcess:
    """The process that fetches model and data into the cache, on one node of the job."""

    def __init__(self, wanted: str, env: Mapping[str, str], log: int, folder: Path) -> None:
        """`wanted`: launcher.hub.Wanted as JSON; `log`: a file descriptor."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "launcher.train.fetch", wanted],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            preexec_fn=death_with_parent(),
        )
        assert self._process.stdout
        os.set_blocking(self._process.stdout.fileno(), False)
        self._read = b""
        self._newest: dict[str, Any] = {}

    def poll(self) -> FetchProgress | FetchEnded | None:
        """What is new: the bytes so far, or the end; None for nothing."""
        assert self._process.stdout
        code = self._process.poll()
        piece = self._process.stdout.read() or b""
        *lines, self._read = (self._read + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):  # a library may print something too
                try:
                    self._newest = json.loads(line)
                except ValueError:
                    continue
        number = self._newest.get("bytes")
        fetched = number if isinstance(number, int) else 0
        if code is not None:
            commit, error = self._newest.get("commit"), self._newest.get("error")
            return FetchEnded(
                code=exit_code(code),
                error=str(error or ""),
                commit=str(commit) if commit else None,
                bytes=fetched,
            )
        return FetchProgress(bytes=fetched) if lines else None

    def close(self) -> None:
        """Kills the process if it still lives."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
