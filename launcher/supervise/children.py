"""Signals to the supervisor, and child processes that never outlive it."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from launcher.processes import exit_code
from launcher.timeouts import STOP_GRACE_S

_LOOK_AGAIN_S = 60.0
"""Seconds between two queries about the time limit of the job."""


class StopSignal:
    """The signal that asked this process to end: SIGTERM, SIGINT, SIGHUP, SIGUSR1 (the time limit is near) or SIGUSR2 (the
    sweep prunes the trial). The loops of the supervisor look at it. Slurm sends a signal twice, to the step and to the batch
    script, so that a second one counts only some time later. A SIGTERM replaces the warning of the time limit, because it may
    be a cancel."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.again = False
        self._came = 0.0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._note)

    def clear(self) -> None:
        """Forgets the signal, once it has been answered and this process goes on."""
        self.signal, self.again = None, False

    def send_when(self, due: Callable[[], tuple[signal.Signals, float] | None]) -> None:
        """Sends this process a signal at a later time, unless another signal has come before.

        `due` returns the signal and the time (time.time()), or None while neither is known. It is asked every minute, because
        both can change.
        """

        def wait() -> None:
            while True:
                found = due()
                left_s = found[1] - time.time() if found else _LOOK_AGAIN_S
                if found and left_s <= 0:
                    if self.signal is None:
                        os.kill(os.getpid(), found[0])
                    return
                time.sleep(min(left_s, _LOOK_AGAIN_S))

        threading.Thread(target=wait, name="the job's end", daemon=True).start()

    def _note(self, number: int, frame: FrameType | None) -> None:
        warned = self.signal == signal.SIGUSR1 and number == signal.SIGTERM
        if self.signal is None or warned:
            self.signal, self._came = number, time.monotonic()
        elif number == signal.SIGINT or (
            number == signal.SIGTERM and self.signal == signal.SIGTERM and time.monotonic() - self._came > 1
        ):
            self.again = True


def wait_for_all(
    children: Sequence[subprocess.Popen[bytes]],
    stopped: StopSignal,
    on_poll: Callable[[], None] | None = None,
) -> int:
    """The exit code of the first child that failed, 0 when all ended well, 128 + N after signal N to this process.

    At the first failure or signal, the others get SIGTERM and, after STOP_GRACE_S, SIGKILL.
    """
    code = 0
    deadline: float | None = None
    while True:
        codes = [child.poll() for child in children]
        failed = next((exit_code(value) for value in codes if value), None)
        if deadline is None and (failed is not None or stopped.signal):
            code = 128 + stopped.signal if stopped.signal else failed or 0
            deadline = time.monotonic() + STOP_GRACE_S
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
