"""Small facts of Unix processes that several layers need."""

import ctypes
import signal
from pathlib import Path


def die_with_parent() -> None:
    """Run in a child before exec: the kernel ends it when its parent is gone. Source: prctl(2), PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def exit_code(returncode: int) -> int:
    """A Popen's returncode as a shell would say it: 128 + N for signal N."""
    return 128 - returncode if returncode < 0 else returncode


def start_ticks(pid: int) -> int | None:
    """When a process began, in ticks since boot; None for one that has ended, waited for or not.

    Source: proc(5), /proc/pid/stat, fields 3 and 22.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
