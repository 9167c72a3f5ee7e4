"""Small facts of Unix processes that several layers need."""

import ctypes
import signal


def die_with_parent() -> None:
    """Run in a child before exec: the kernel ends it when its parent is gone. Source: prctl(2), PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def exit_code(returncode: int) -> int:
    """A Popen's returncode as a shell would say it: 128 + N for signal N."""
    return 128 - returncode if returncode < 0 else returncode
