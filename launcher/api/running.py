"""Jobs that run on the server's own machine.

Each is started once, even if the server is killed between the start and its record.
"""

import os
import subprocess
from pathlib import Path

from launcher.clusters.base import Cluster
from launcher.launching.launch import start_here
from launcher.run import RunDir


class Here:
    """The job scripts that this server has started. They outlive it."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, run: RunDir, cluster: Cluster) -> bool:
        """Starts the run's job script and records it; False if a process of the run lives, which then records itself."""
        if lives_here(run):
            return False
        self._processes.append(start_here(run, cluster))
        return True

    def reap(self) -> None:
        """Forgets the scripts that have ended."""
        self._processes = [process for process in self._processes if process.poll() is None]


def lives_here(run: RunDir) -> bool:
    """Whether a process of this machine has the run dir among its arguments: its job script or supervisor.

    Source: proc(5), /proc/pid/cmdline.
    """
    own = os.fsencode(run.path)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word == own or word.startswith(own + b"/") for word in words):
                return True
    return False
