"""The check of this job's GPUs by nvidia-smi before ranks start on them. Other jobs' GPUs on the node are not judged."""

import csv
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from launcher.supervise.amd_check import find_amd_problems

_FIELDS = (
    "index",
    "uuid",
    "pci.bus_id",
    "memory.used",
    "memory.total",
    "ecc.errors.uncorrected.volatile.total",
)
_XID = re.compile(r"\[\s*(\d+)\.\d+\] NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+),")
_BROKEN_XIDS = (48, 64, 74, 79, 95, 119, 120)
_XID_RECENT_S = 3600.0
"""Older messages can be from before a reset or a repair."""
_BUSY_MIB = 1024
"""If more GPU memory than this is used before the ranks start, another process is using the GPU."""
_SLICE = re.compile(r"^\s+MIG \S+\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedGpu:
    """A GPU, as nvidia-smi lists it."""

    index: str
    uuid: str
    bus: str
    """Its PCI address without function, in lower case."""
    used_mib: str
    total_mib: str
    errors: str
    """Uncorrected memory errors, or a text such as [N/A]."""


def find_problems(needed: int, environ: Mapping[str, str]) -> list[str]:
    """The problems of the GPUs that CUDA_VISIBLE_DEVICES gives to this job, or of all that are visible here."""
    table = _ask([f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"])
    if table is None:
        return find_amd_problems(needed, environ)
    if table.problem:
        return [table.problem]
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    listed = _ask(["-L"])
    slices = _SLICE.findall(listed.text) if listed else []
    gpus = own_gpus(table.text, visible)
    return gpu_problems(gpus, needed, slices=own_slices(slices, visible)) + xid_problems(
        _kernel_log(), time.clock_gettime(time.CLOCK_BOOTTIME), gpus
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    text: str
    problem: str = ""


def _ask(options: list[str]) -> _Answer | None:
    """The output of nvidia-smi, or one sentence on why there is none; None where it is not installed."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *options],
            capture_output=True,
            text=True,
            timeout=8,
            stdin=subprocess.DEVNULL,
            errors="replace",
        )
    except (FileNotFoundError, PermissionError):
        return None
    except subprocess.TimeoutExpired:
        return _Answer(text="", problem="nvidia-smi does not answer within 8 s: a GPU of this node hangs")
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return _Answer(text="", problem=f"nvidia-smi fails: {last[0].strip()}")
    return _Answer(text=done.stdout)


def own_gpus(table: str, visible: str | None) -> list[ListedGpu]:
    """The GPUs of this job. `visible` is CUDA_VISIBLE_DEVICES: indices or UUIDs, whose beginnings are enough; None for all.

    Source: CUDA C programming guide, environment variables: what follows an invalid entry is not visible.
    """
    rows = [[cell.strip() for cell in row] for row in csv.reader(table.splitlines()) if row]
    gpus = [
        ListedGpu(
            index=row[0], uuid=row[1], bus=_bus(row[2]), used_mib=row[3], total_mib=row[4], errors=row[5]
        )
        for row in rows
        if len(row) == len(_FIELDS)
    ]
    if visible is None:
        return gpus
    words = [word.strip() for word in visible.split(",") if word.strip()]
    return [
        one
        for one in gpus
        if any(word == one.index or (word.startswith("GPU-") and one.uuid.startswith(word)) for word in words)
    ]


def own_slices(slices: list[str], visible: str | None) -> list[str]:
    """The MIG slices of this job, by their UUIDs; empty where it uses whole GPUs."""
    if visible is None:
        return slices
    words = [word.strip() for word in visible.split(",") if word.strip().startswith("MIG-")]
    return [word for word in words if not slices or any(one.startswith(word) for one in slices)]


def gpu_problems(gpus: list[ListedGpu], needed: int, slices: list[str]) -> list[str]:
    """The problems of these GPUs for `needed` ranks. The memory of a GPU that is cut into slices is not judged, because other
    jobs use other slices of it."""
    count, what = (len(slices), "MIG slices") if slices else (len(gpus), "GPUs")
    problems = [] if count >= needed else [f"{count} {what} are visible to this job and {needed} are needed"]
    for one in gpus:
        if not slices and one.used_mib.isdigit() and int(one.used_mib) > _BUSY_MIB:
            problems.append(f"GPU {one.index} is in use: {one.used_mib} of {one.total_mib} MiB")
        if one.errors.isdigit() and int(one.errors):
            problems.append(f"GPU {one.index} has {one.errors} uncorrected memory errors")
    return problems


def xid_problems(log: str, uptime_s: float, gpus: list[ListedGpu]) -> list[str]:
    """The driver's reports from the last hour of these GPUs that need a reset or a repair; one sentence per GPU.

    Source: NVIDIA's "XID Errors" (docs.nvidia.com/deploy/xid-errors): 48 and 95 uncorrected memory errors, 64 and 79 a GPU
    that failed to remap rows or fell off the bus, 74 NVLink, 119 and 120 a GPU whose own processor (GSP) does not answer.
    """
    # a GPU that fell off the bus is missing in every table: its address then belongs to nobody, and the error counts
    others = {one.bus for one in gpus}
    found: dict[str, str] = {}
    for moment, device, number in _XID.findall(log):
        recent = int(number) in _BROKEN_XIDS and uptime_s - float(moment) < _XID_RECENT_S
        if recent and (_bus(device) in others or int(number) == 79):
            found[device] = f"the GPU at {device} reported XID {number} within the last hour"
    return list(found.values())


def _bus(address: str) -> str:
    """`0000:3b:00` of `00000000:3B:00.0` and of `0000:3b:00`."""
    domain, _, rest = address.lower().partition(":")
    return f"{domain[-4:]}:{rest.partition('.')[0]}"


def _kernel_log() -> str:
    """The newest kernel messages; empty if the user cannot read them."""
    try:
        done = subprocess.run(
            ["dmesg"], capture_output=True, text=True, timeout=2, stdin=subprocess.DEVNULL, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
