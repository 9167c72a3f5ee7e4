"""The kind of file system that a folder is on."""

from pathlib import Path

OF_THE_KERNEL = frozenset(
    """binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs proc pstore
    rpc_pipefs securityfs selinuxfs sysfs tracefs""".split()  # noqa: SIM905
)
"""Kinds that hold no files of users. Source: /proc/filesystems, where they are marked nodev, and proc(5)."""


def file_system(folder: Path) -> str:
    """The kind of the file system with the longest mount point above the folder, such as ext4; "unknown" if this machine does
    not tell.

    Source: proc(5), /proc/pid/mounts, in which a blank of a path is written \\040.
    """
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    best, found = "", "unknown"
    for line in lines:
        _, where, kind, *_ = line.split()
        where = where.replace("\\040", " ")
        if folder.is_relative_to(where) and len(where) >= len(best):
            best, found = where, kind
    return found
