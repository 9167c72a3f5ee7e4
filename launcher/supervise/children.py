"""Child processes that are never left behind."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from types import FrameType

GRACE_S = 30.0
"""From SIGTERM to SIGKILL. Slurm's own KillWait is 30 s by default."""


def die_with_parent() -> None:
    """Run in a child before exec: the kernel ends it when its parent is gone. Source: prctl(2), PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def exit_code(returncode: int) -> int:
    """A Popen's returncode as a shell would say it: 128 + N for signal N."""
    return 128 - returncode if returncode < 0 else returncode


class Stopped:
    """Whether SIGTERM, SIGINT or SIGHUP has come; each is passed on by the loop that looks here."""

    def __init__(self) -> None:
        self.signal: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


def wait_for_all(
    children: Sequence[subprocess.Popen[bytes]], stopped: Stopped, on_poll: Callable[[], None] | None = None
) -> int:
    """The exit code of the first child that failed, 0 when all ended well, 128 + N after a signal N to us.

    At the first failure or signal, the others get SIGTERM and, after GRACE_S, SIGKILL.
    """
    code = 0
    deadline: float | None = None
    while True:
        codes = [child.poll() for child in children]
        failed = next((exit_code(value) for value in codes if value), None)
        if deadline is None and (failed is not None or stopped.signal):
            code = 128 + stopped.signal if stopped.signal else failed or 0
            deadline = time.monotonic() + GRACE_S
            signal_all(children, signal.SIGTERM)
        if all(value is not None for value in codes):
            return code or failed or 0
        if deadline is not None and time.monotonic() > deadline:
            signal_all(children, signal.SIGKILL)
        if on_poll:
            on_poll()
        time.sleep(0.05)


def signal_all(children: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    """Sends a signal to each child's process group; each was started in a session of its own."""
    for child in children:
        if child.poll() is None:
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                continue
