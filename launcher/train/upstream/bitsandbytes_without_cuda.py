"""bitsandbytes 0.50: what its import asks of the GPUs.

Symptom: `import bitsandbytes`, which peft's import contains, asks torch for the compute capability of each GPU, and torch
starts CUDA to answer. A forked process cannot use CUDA then, so the warm process could fork no rank. nvidia-smi knows the
answer without CUDA.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import torch

_TIMEOUT_S = 8.0


@contextlib.contextmanager
def capability_without_cuda() -> Iterator[None]:
    """The context in which torch answers with the highest compute capability that nvidia-smi knows, if it knows one."""
    known = _highest_capability()
    if known is None:
        yield
        return
    asked = torch.cuda.get_device_capability

    def answer(device: Any = None) -> tuple[int, int]:
        return known

    torch.cuda.get_device_capability = answer
    try:
        yield
    finally:
        torch.cuda.get_device_capability = asked


def _highest_capability() -> tuple[int, int] | None:
    """The highest compute capability of this node's GPUs; None where nvidia-smi does not say it."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        found = [
            tuple(map(int, line.strip().split("."))) for line in done.stdout.splitlines() if line.strip()
        ]
        return max((major, minor) for major, minor in found)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
