"""How fast a rank computes alone, measured every few seconds without waiting for other ranks, so that a slow host is found.

The time must be the host's own. On a GPU it is the shortest of a few products by the clock of the GPU. On a CPU the time in
which a thread of this process waited for a processor is subtracted and reported beside it: where several jobs share processors,
a healthy host would count as slow otherwise.
"""

import contextlib
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from launcher.train.heartbeat import Heartbeat

_EVERY_S = 5.0
_SIZE = {"cuda": (4096, 5), "cpu": (256, 16)}
"""Side of the matrices and products of a probe: 2 ms on a fast GPU, 8 ms on a CPU core, under 0.2 % of the time."""
_THREADS = Path("/proc/self/task")


class Probe(TrainerCallback):
    """Times a few matrix products at the end of a step, every few seconds, and reports the time to the agent."""

    def __init__(self, heartbeat: Heartbeat, device: torch.device) -> None:
        side, self._products = _SIZE.get(device.type, _SIZE["cpu"])
        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.heartbeat, self.device = heartbeat, device
        self._matrix = torch.full((side, side), 1 / side, dtype=kind, device=device)
        self._next = time.monotonic() + _EVERY_S

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes a probe if one is due. The first product is not timed."""
        if time.monotonic() < self._next:
            return
        self.heartbeat.probed(*self.take())
        self._next = time.monotonic() + _EVERY_S

    def take(self) -> tuple[float, float]:
        """Seconds of the products, and the additional seconds for which they waited for a processor of the host."""
        with torch.no_grad():
            self._multiply()
            return self._on_gpu() if self.device.type == "cuda" else self._on_cpu()

    def _on_gpu(self) -> tuple[float, float]:
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(self._products + 1)]
        marks[0].record()
        for mark in marks[1:]:
            self._multiply()
            mark.record()
        torch.cuda.synchronize(self.device)
        # between two marks, the GPU may have waited for this process to send the next product
        return self._products * min(one.elapsed_time(other) for one, other in pairwise(marks)) / 1000, 0.0

    def _on_cpu(self) -> tuple[float, float]:
        before, begun = _waited_ns(), time.perf_counter()
        for _ in range(self._products):
            self._multiply()
        took = time.perf_counter() - begun
        # the threads of a product wait for the last of them
        waited = max((ns - before.get(thread, 0) for thread, ns in _waited_ns().items()), default=0) / 1e9
        waited = min(max(waited, 0.0), took)
        return took - waited, waited

    def _multiply(self) -> None:
        torch.mm(self._matrix, self._matrix)


def _waited_ns() -> dict[str, int]:
    """Thread of this process -> nanoseconds for which it could run and had no processor; empty where Linux does not say.

    Source: the kernel's Documentation/scheduler/sched-stats.rst, /proc/pid/schedstat, second value.
    """
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for thread in _THREADS.iterdir():
            # a thread can have ended since
            with contextlib.suppress(OSError, IndexError, ValueError):
                found[thread.name] = int((thread / "schedstat").read_text().split()[1])
    return found
