"""Limits of a node's processes: soft ones are raised to the hard ones, and a hard one that breaks NCCL is named."""

import resource

_FEWEST_FILES = 4096
"""NCCL opens sockets to every peer; with 1,024 it dies from four nodes on. Source: public reports, NCCL's documentation."""
_STACK = 64 << 20
"""Bytes of stack where the hard limit is unlimited."""


def raise_open_files(wanted: int) -> None:
    """Raises the soft limit of open files to `wanted`, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def raise_limits() -> list[str]:
    """Raises the soft limits of open files, locked memory and stack; returns a sentence for each hard limit that is too low."""
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_STACK):
        soft, hard = resource.getrlimit(limit)
        wanted = hard
        if limit == resource.RLIMIT_STACK and hard == resource.RLIM_INFINITY:
            # without a limit, glibc gives threads 2 MiB, less than before
            wanted = soft if soft == resource.RLIM_INFINITY else max(soft, _STACK)
        try:
            resource.setrlimit(limit, (wanted, hard))
        except (OSError, ValueError):  # not permitted here; the limit stays
            continue
    files, memory = (
        resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_MEMLOCK)
    )
    low: list[str] = []
    if files != resource.RLIM_INFINITY and files < _FEWEST_FILES:
        low.append(
            f"the hard limit of open files is {files}: NCCL needs more from a few nodes on; ask for `nofile` of 65536"
        )
    if memory != resource.RLIM_INFINITY and memory < 1 << 30:
        low.append(
            f"the hard limit of locked memory is {memory >> 10} KiB: InfiniBand cannot register buffers; ask for "
            "`memlock unlimited`"
        )
    return low
