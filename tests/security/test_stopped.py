"""Processes of a run that somebody stops."""

import os
import signal
import time
from pathlib import Path

from launcher.processes import is_stopped
from launcher.supervise.starters import WarmStarter


def test_a_stopped_warm_process_continues(tmp_path: Path):
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    warm = WarmStarter(tmp_path, {**os.environ}, log)
    pid = warm._process.pid  # pyright: ignore[reportPrivateUsage]
    try:
        os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while not is_stopped(pid):
            assert time.monotonic() < deadline
        warm.ready()
        while is_stopped(pid):
            assert time.monotonic() < deadline
    finally:
        warm.close()
        os.close(log)
