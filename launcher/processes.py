"""Facts about Unix processes that several layers need."""

import signal
from pathlib import Path


def die_with_parent() -> None:
    """Makes the kernel kill this process when its parent ends; called in a child before exec. Source: prctl(2),
    PR_SET_PDEATHSIG."""
    import ctypes  # by need: every launch imports this module

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def exit_code(returncode: int) -> int:
    """A Popen's returncode in a shell's convention: 128 + N for signal N."""
    return 128 - returncode if returncode < 0 else returncode


def start_ticks(pid: int) -> int | None:
    """The start time of a process in clock ticks since boot; None if the process has ended, even if it is a zombie.

    Source: proc(5), /proc/pid/stat, fields 3 and 22.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process. Source: proc(5), /proc/pid/stat, field 3."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False
