"""What the machine is, and what its device computes and copies."""

import importlib.util
import os
import platform
import shutil
import subprocess
import time
from importlib import metadata
from typing import Any

from tests.gpu.place import Place, Skipped

PACKAGES = (
    "torch", "triton", "transformers", "trl", "peft", "accelerate", "deepspeed", "bitsandbytes", "liger-kernel", "flash-attn",
    "kernels", "datasets",
)  # fmt: skip


def describe(place: Place) -> dict[str, Any]:
    """Device, versions, rate of a matrix product in TFLOP/s and of a copy in GB/s."""
    import torch

    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found: dict[str, Any] = {
        "python": platform.python_version(), "cpus": len(os.sched_getaffinity(0)), "versions": versions,
        "compiler": shutil.which("c++") is not None,
    }  # fmt: skip
    if place.device == "cuda":
        if not torch.cuda.is_available():
            raise Skipped(
                f"torch {torch.__version__} sees no GPU; install a torch for CUDA, or use --device cpu"
            )
        props = torch.cuda.get_device_properties(0)
        found |= {
            "device": props.name, "memory_gib": round(props.total_memory / 2**30, 2), "cuda": torch.version.cuda,
            "capability": list(torch.cuda.get_device_capability(0)), "driver": _driver(), "gpus": torch.cuda.device_count(),
        }  # fmt: skip
    else:
        found |= {"device": "cpu", "memory_gib": None}
    return {**found, "gemm_tflops": gemm_tflops(place.device), "copy_gb_s": copy_gb_s(place.device)}


def gemm_tflops(device: str) -> float:
    """TFLOP/s of the best of some large matrix products in bf16."""
    import torch

    side = 8192 if device == "cuda" else 512
    matrix = torch.rand(side, side, device=device).to(torch.bfloat16)
    best = _best(device, lambda: torch.mm(matrix, matrix), 20 if device == "cuda" else 3)
    return round(2 * side**3 / best / 1e12, 4)


def copy_gb_s(device: str) -> float:
    """GB/s that a copy within the device's memory reads and writes."""
    import torch

    source = torch.ones((1 << 30) if device == "cuda" else (16 << 20), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return round(2 * source.numel() / _best(device, lambda: target.copy_(source), 10) / 1e9, 2)


def _best(device: str, work: Any, times: int) -> float:
    import torch

    best = float("inf")
    for _ in range(times):
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return best


def _driver() -> str | None:
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else None


def has(module: str) -> bool:
    """Whether that module can be imported here."""
    return importlib.util.find_spec(module) is not None
