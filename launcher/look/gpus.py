"""The GPUs that the job sees: by nvidia-smi or rocm-smi, and by torch where it is installed."""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

from launcher.look.record import Gpus
from launcher.units import GIB

_TORCH_S = 90.0
"""Seconds for a process that imports torch from a shared file system and makes a CUDA context."""
_ASK_TORCH = """
import json, time
import torch
found = {}
if torch.cuda.is_available():
    x = torch.ones(1, device="cuda")
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info(0)
    found["used"] = total - free - torch.cuda.memory_reserved(0)
    if torch.cuda.device_count() > 1:
        a = torch.empty(1 << 28, dtype=torch.uint8, device="cuda:0")
        b = torch.empty_like(a, device="cuda:1")
        for _ in range(3):
            b.copy_(a)
        torch.cuda.synchronize(0); torch.cuda.synchronize(1)
        began = time.monotonic()
        for _ in range(8):
            b.copy_(a)
        torch.cuda.synchronize(0); torch.cuda.synchronize(1)
        found["link"] = 8 * a.numel() / (time.monotonic() - began) / 1e9
print(json.dumps(found))
"""


def find_gpus() -> Gpus | None:
    """The job's GPUs; None where neither tool answers."""
    table = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"])
    rows = [line.rpartition(",") for line in table.splitlines() if line.count(",")]
    sizes = [(name.strip(), int(mib) / 1024) for name, _, mib in rows if mib.strip().isdigit()]
    if sizes:
        return Gpus(
            vendor="nvidia",
            names=[name for name, _ in sizes],
            memory_gib=round(min(size for _, size in sizes), 1),
        )
    return _of_rocm(_output(["rocm-smi", "--showproductname", "--showmeminfo", "vram", "--json"]))


def torch_version() -> str | None:
    """The version of torch, without importing it; None if it is not installed."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None


def ask_torch(gpus: Gpus) -> None:
    """Fills in what torch measures: the context of an empty process, and the speed of a copy. No answer changes nothing."""
    try:
        found = json.loads(_output([sys.executable, "-c", _ASK_TORCH], _TORCH_S).splitlines()[-1])
        used = found["used"]
    except (IndexError, ValueError, KeyError):
        return
    gpus.context_gib = round(used / GIB, 2)
    gpus.link_gb_s = float(f"{found['link']:.2g}") if "link" in found else None


def _of_rocm(text: str) -> Gpus | None:
    """The GPUs in the JSON of rocm-smi, one object per card. Source: rocm-smi --help, and recorded answers of ROCm 5 and 6."""
    try:
        cards = {name: card for name, card in json.loads(text).items() if name.startswith("card")}
        sizes = [int(card["VRAM Total Memory (B)"]) / GIB for card in cards.values()]
    except (ValueError, KeyError, AttributeError):
        return None
    if not sizes:
        return None
    words = ("Card Series", "Card series", "Card model", "Device Name")
    names = [next((card[word] for word in words if word in card), "AMD GPU") for card in cards.values()]
    return Gpus(vendor="amd", names=names, memory_gib=round(min(sizes), 1))


def _output(command: Sequence[str], timeout_s: float = 15.0) -> str:
    """What a command prints; empty if it fails, hangs or is not installed."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
