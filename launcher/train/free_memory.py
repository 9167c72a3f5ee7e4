"""The memory of this host that a process can still use."""

import contextlib
from pathlib import Path

_SHARE = 0.7
"""Share of free memory; the rest is for the loading itself and for other processes on the host."""


def fits(need_bytes: float) -> bool:
    """Whether this many bytes can be used without the risk that the kernel kills a process."""
    return need_bytes <= _SHARE * free_bytes()


def free_bytes() -> int:
    """Bytes that the kernel reports as available, or less if the cgroup of this process has less left.

    Source: proc(5), MemAvailable; the kernel's cgroup-v2 page, memory.max and memory.current.
    """
    free = 1 << 62
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text(encoding="utf-8").split("0::", 1)[1].splitlines()[0]
        for folder in [Path("/sys/fs/cgroup", group.lstrip("/")), Path("/sys/fs/cgroup")]:
            with contextlib.suppress(OSError, ValueError):
                limit = int((folder / "memory.max").read_text())
                free = min(free, limit - int((folder / "memory.current").read_text()))
    return max(free, 0)
