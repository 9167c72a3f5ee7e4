"""The check of this job's AMD GPUs before ranks start on them, by rocm-smi. Other jobs' GPUs on the same node are not judged.

Tried with recorded answers of rocm-smi alone, never on such a GPU.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

_BUSY_MIB = 1024
"""As for NVIDIA GPUs: if more is used before the ranks start, another process is using the GPU."""
_TIMEOUT_S = 8.0
_VISIBLE = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
"""In the order in which they take effect; each chooses from what the one before it leaves. Source: AMD's ROCm manual, GPU
isolation techniques."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmdGpu:
    """A GPU as rocm-smi lists it."""

    index: str
    uuid: str
    """GPU- and its unique id, as ROCR_VISIBLE_DEVICES takes it; empty where it is not known."""
    used_mib: int
    total_mib: int


def find_amd_problems(needed: int, environ: Mapping[str, str]) -> list[str]:
    """The problems of the job's AMD GPUs for `needed` ranks; empty where rocm-smi is not installed."""
    try:
        done = subprocess.run(
            ["rocm-smi", "--showuniqueid", "--showmeminfo", "vram", "--json"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            errors="replace",
        )
    except (FileNotFoundError, PermissionError):
        return []  # a container without the tool: the ranks will notice
    except subprocess.TimeoutExpired:
        return [f"rocm-smi does not answer within {_TIMEOUT_S:g} s: a GPU of this node hangs"]
    listed = parse(done.stdout)
    if done.returncode or listed is None:
        last = (done.stderr + done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return [f"rocm-smi fails: {last[0].strip()}"]
    return amd_problems(listed, visible_words(environ), needed)


def parse(text: str) -> list[AmdGpu] | None:
    """The GPUs in rocm-smi's JSON, one object per card; None for anything else. Source: recorded answers of ROCm 5 and 6."""
    try:
        data = cast("Mapping[str, Any]", json.loads(text))
        cards = {name: card for name, card in data.items() if name.startswith("card")}
        return [
            AmdGpu(
                index=name.removeprefix("card"),
                uuid=_uuid(str(card.get("Unique ID", ""))),
                used_mib=int(card["VRAM Total Used Memory (B)"]) >> 20,
                total_mib=int(card["VRAM Total Memory (B)"]) >> 20,
            )
            for name, card in cards.items()
        ]
    except (ValueError, KeyError, AttributeError):
        return None


def visible_words(environ: Mapping[str, str]) -> list[str] | None:
    """The job's GPUs as the variables name them, indices or GPU-UUIDs; None for all."""
    words: list[str] | None = None
    for name in _VISIBLE:
        value = environ.get(name)
        if value is None:
            continue
        named = [word.strip() for word in value.split(",") if word.strip()]
        words = named if words is None else _choose(words, named)
    return words


def _choose(left: list[str], indices: list[str]) -> list[str]:
    """The GPUs with these indices among those that the earlier variables have left."""
    return [left[int(word)] for word in indices if word.isdigit() and int(word) < len(left)]


def amd_problems(listed: list[AmdGpu], words: list[str] | None, needed: int) -> list[str]:
    """The problems of the GPUs that these words name. Where a cgroup hides the GPUs of other jobs, an index counts only the
    GPUs of this job, but rocm-smi may list all GPUs of the node: it is then unknown which GPU an index means, and its memory is
    not judged."""
    count = len(listed) if words is None else len(words)
    problems = [] if count >= needed else [f"{count} GPUs are visible to this job and {needed} are needed"]
    if words is None or len(words) == len(listed):
        own = listed
    else:
        own = [one for one in listed if one.uuid and any(one.uuid == word.lower() for word in words)]
    return problems + [
        f"GPU {one.index} is in use: {one.used_mib} of {one.total_mib} MiB"
        for one in own
        if one.used_mib > _BUSY_MIB
    ]


def _uuid(unique: str) -> str:
    """`gpu-1a2b` for `0x1A2B`; empty for `N/A`."""
    digits = unique.lower().removeprefix("0x")
    return f"gpu-{digits}" if digits and all(letter in "0123456789abcdef" for letter in digits) else ""
