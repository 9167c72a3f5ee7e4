"""A command on a terminal of its own, to which answers are typed when it asks."""

import os
import pty
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_on_terminal(
    argv: Sequence[str],
    answers: Sequence[tuple[str, str]],
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float = 60,
) -> tuple[int, str]:
    """The exit code, and what the terminal showed. `answers` are (part of a question, what is typed then), in this order."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir(cwd)
            os.execvpe(argv[0], list(argv), dict(env))
        finally:
            os._exit(127)
    shown, read, left = "", 0, list(answers)
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    piece = os.read(terminal, 4096)
                except OSError:  # the last process has closed it
                    break
                shown += piece.decode(errors="replace")
            if left and left[0][0] in shown[read:]:
                read = shown.index(left[0][0], read) + len(left[0][0])
                os.write(terminal, f"{left.pop(0)[1]}\n".encode())
            if (ended := os.waitpid(pid, os.WNOHANG))[0]:
                return os.waitstatus_to_exitcode(ended[1]), shown
        else:
            raise AssertionError(f"still running after {timeout_s} s: {shown}")
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
    finally:
        os.close(terminal)
