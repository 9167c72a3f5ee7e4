"""The checks of a node before ranks start on it."""

import csv
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from launcher.protocol.agents import NodeFacts
from launcher.run import RunDir
from launcher.units import gibibytes

_LEAST_DISK = 1 << 30
_LEAST_MEMORY = 1 << 30
_GPU_FIELDS = ("index", "memory.used", "memory.total", "ecc.errors.uncorrected.volatile.total")
_XID = re.compile(r"\[\s*(\d+)\.\d+\] NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+),")
_BROKEN_XIDS = (48, 64, 74, 79, 95, 119, 120)
_XID_RECENT_S = 3600.0
"""Older messages can be from before a reset or a repair."""
_BUSY_MIB = 1024
"""If more GPU memory than this is used before the ranks start, another process is using the GPU."""


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
        problems += _gpu_problems(int(plan["topology"]["gpus_per_node"]))
    return NodeFacts(time=time.time(), disk=disk, memory=memory, problems=tuple(problems))


def _available_memory() -> int:
    """Bytes. Source: proc(5), /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _gpu_problems(needed: int) -> list[str]:
    command = ["nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=8, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return []  # a container without the tool: the ranks will notice
    except subprocess.TimeoutExpired:
        return ["nvidia-smi does not answer within 8 s: a GPU of this node hangs"]
    if done.returncode:
        return [f"nvidia-smi says: {(done.stdout + done.stderr).strip().splitlines()[-1:]}"]
    return gpu_problems(done.stdout, needed) + xid_problems(
        _kernel_log(), time.clock_gettime(time.CLOCK_BOOTTIME)
    )


def _kernel_log() -> str:
    """The newest kernel messages; empty if the user cannot read them."""
    try:
        done = subprocess.run(
            ["dmesg"], capture_output=True, text=True, timeout=2, stdin=subprocess.DEVNULL, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def xid_problems(log: str, uptime_s: float) -> list[str]:
    """The driver's reports from the last hour of GPUs that need a reset or a repair; one sentence per GPU.

    Source: NVIDIA's "XID Errors" (docs.nvidia.com/deploy/xid-errors): 48 and 95 uncorrected memory errors, 64 and 79 a GPU
    that failed to remap rows or fell off the bus, 74 NVLink, 119 and 120 a GPU whose own processor (GSP) does not answer.
    """
    found: dict[str, str] = {}
    for moment, device, number in _XID.findall(log):
        if int(number) in _BROKEN_XIDS and uptime_s - float(moment) < _XID_RECENT_S:
            found[device] = f"the GPU at {device} reported XID {number} within the last hour"
    return list(found.values())


def gpu_problems(table: str, needed: int) -> list[str]:
    """The problems in nvidia-smi's table of index, memory used and total (MiB), and uncorrected ECC errors."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(table.splitlines()) if row]
    problems = [] if len(rows) >= needed else [f"{len(rows)} GPUs are present and {needed} are needed"]
    for index, used, total, errors in rows:
        if used.isdigit() and int(used) > _BUSY_MIB:
            problems.append(f"GPU {index} is in use: {used} of {total} MiB")
        if errors.isdigit() and int(errors):
            problems.append(f"GPU {index} has {errors} uncorrected memory errors")
    return problems
