"""How fast this rank computes without waiting for any other rank."""

import time
from typing import Any

import torch
from transformers import TrainerCallback

from launcher.train.heartbeat import Heartbeat

_EVERY_S = 5.0
_SIZE = {"cuda": (4096, 5), "cpu": (256, 16)}
"""Side of the matrices and products of a probe: 2 ms on a fast GPU, 8 ms on a CPU core, under 0.2 % of the time."""


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
        self._multiply(1)
        begun = time.perf_counter()
        self._multiply(self._products)
        self.heartbeat.probed(time.perf_counter() - begun)
        self._next = time.monotonic() + _EVERY_S

    def _multiply(self, times: int) -> None:
        with torch.no_grad():
            for _ in range(times):
                torch.mm(self._matrix, self._matrix)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
