"""Facts about Unix processes that several layers need."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path


def death_with_parent() -> Callable[[], None]:
    """A function that makes the kernel kill the process that calls it when its parent ends: a child calls it before exec.

    What it needs is loaded here, before the fork. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    import ctypes  # imported here: every command imports this module

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, signal.SIGKILL)


def start_in_utf8() -> None:
    """Starts this process again in Python's UTF-8 mode, which its children then have too; does nothing in that mode.

    In a locale with another encoding, Python would read and write files in that encoding, and decode file names differently
    from the nodes. Source: PEP 540.
    """
    known = sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8"
    if known or not sys.executable or any(word.endswith("utf8=0") for word in sys.orig_argv):
        return
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def exit_code(returncode: int) -> int:
    """A Popen's returncode in a shell's convention: 128 + N for signal N."""
    return 128 - returncode if returncode < 0 else returncode


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/pid/stat from the third one on, which is the state; None if there is no such process.

    The name before them can be any bytes, since any user gives its processes names. Source: proc(5).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return [field.decode("ascii", "replace") for field in fields] or None


def start_ticks(pid: int) -> int | None:
    """The start time of a process in clock ticks since boot; None if the process has ended, even if it is a zombie.

    Source: proc(5), /proc/pid/stat, fields 3 and 22.
    """
    fields = stat_fields(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process. Source: proc(5), /proc/pid/stat, field 3."""
    fields = stat_fields(pid)
    return fields is not None and fields[0] == "T"
