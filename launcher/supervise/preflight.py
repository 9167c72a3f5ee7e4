"""A node before ranks start on it: its checks, the limits of its processes, and NCCL's variables for its cards.

Soft limits are raised to the hard ones, and a hard one that breaks NCCL is named. Cards whose driver reports peer access that
does not work need variables: `accelerate launch` sets them, and a rank that accelerate finds without them ends with an error;
our ranks are not started by it. Source: accelerate 1.15, utils/environment.py (check_cuda_p2p_ib_support) and state.py.
"""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from launcher import environment
from launcher.compiler import lacking_for
from launcher.protocol.to_supervisor import NodeFacts
from launcher.run import RunDir
from launcher.strategies import planned_strategy
from launcher.supervise.gpu_check import find_problems
from launcher.units import gibibytes

_LEAST_DISK = 1 << 30
_LEAST_MEMORY = 1 << 30
_FEWEST_FILES = 4096
"""NCCL opens sockets to every peer; with 1,024 it dies from four nodes on. Source: public reports, NCCL's documentation."""
_STACK = 64 << 20
"""Bytes of stack where the hard limit is unlimited."""
_CARDS = "RTX 40"
_DRIVER = (550, 40, 7)
"""The first driver that does not report peer access for them."""


def look_at_node(run: RunDir) -> NodeFacts:
    """Clock, free disk space and memory of this node, and its problems."""
    plan = run.read_json(run.plan)
    disk = shutil.disk_usage(run.path).free
    memory = _available_memory()
    problems: list[str] = []
    if disk < _LEAST_DISK:
        problems.append(f"{gibibytes(disk)} are free at {run.path}, too little for a save")
    if memory < _LEAST_MEMORY:
        problems.append(f"{gibibytes(memory)} of memory are available")
    if not os.access(run.path, os.W_OK):
        problems.append(f"{run.path} cannot be written")
    if plan["device"] == "cuda":
        problems += find_problems(int(plan["topology"]["gpus_per_node"]), os.environ)
    operators = planned_strategy(plan["strategy"]).operators(plan["trainer_args"]["optim"])
    if lacking := lacking_for(operators, plan["device"], os.environ):
        problems.append(
            f"{' and '.join(operators)} of DeepSpeed cannot be compiled: the node lacks {lacking}"
        )
    return NodeFacts(time=time.time(), disk=disk, memory=memory, problems=tuple(problems))


def _available_memory() -> int:
    """Bytes. Source: proc(5), /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


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


def nccl_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables without peer access and InfiniBand if this node has several such cards; a value of the site is kept."""
    if not _needed():
        return {}
    return {
        name: environ.get(name, "1") for name in (environment.NCCL_P2P_DISABLE, environment.NCCL_IB_DISABLE)
    }


def _needed() -> bool:
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=8, stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        rows = [line.rpartition(",") for line in done.stdout.splitlines() if line.strip()]
        driver = tuple(map(int, rows[0][2].strip().split("."))) if rows else _DRIVER
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
    return len(rows) > 1 and any(_CARDS in name for name, _, _ in rows) and driver < _DRIVER
