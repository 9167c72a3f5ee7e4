"""Measurements of a run: step time, peak memory of every rank, and the bandwidth between ranks."""

import resource
import statistics
import time
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.run.events.ranks import Measured
from launcher.units import significant

_WARM_UP = 3
"""Number of first steps that are not measured."""
_EARLY = 10
"""Steps of an attempt after which it reports for the first time, so that an interrupted attempt has reported too."""
_SENT = {"cuda": 64 << 20, "cpu": 4 << 20}
"""Bytes of the all-reduce that measures the links."""
_ROUNDS = 3


class Meter(TrainerCallback):
    """Gathers the figures of all ranks and writes them as one event, early and at the end."""

    def __init__(self, run: RunDir, plan: LaunchPlan, attempt: int, rank: int) -> None:
        self.run, self.plan, self.attempt, self.rank = run, plan, attempt, rank
        self._times: list[float] = []
        self._begin = 0.0
        self._link_gb_s: float | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock of a step."""
        self._begin = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records the time of the step; after a few steps, writes the first report of this attempt."""
        if self.plan.device == "cuda":
            torch.cuda.synchronize()
        self._times.append(time.monotonic() - self._begin)
        if len(self._times) == _EARLY:
            self._link_gb_s = self._measure_link(args.device)
            self._tell(args.device, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the last report."""
        if self._times:
            self._tell(args.device, state.global_step)

    def _tell(self, device: Any, step: int) -> None:
        mine = [statistics.median(self._times[_WARM_UP:] or self._times), *_memory_gib()]
        every = _gather(mine, device)
        if self.rank:
            return
        step_s, peak, reserved, context, host = (list(column) for column in zip(*every, strict=True))
        cuda = self.plan.device == "cuda"
        self.run.note(
            Measured(
                attempt=self.attempt,
                step=step,
                steps=len(self._times),
                step_s=round(max(step_s), 5),
                peak_gib=round(max(peak), 3) if cuda else None,
                peak_gib_by_rank=[round(value, 3) for value in peak] if cuda else None,
                reserved_gib=round(max(reserved), 3) if cuda else None,
                context_gib=round(max(context), 3) if cuda else None,
                host_gib_by_rank=[round(value, 3) for value in host],
                link_gb_s=self._link_gb_s,
            )
        )

    def _measure_link(self, device: Any) -> float | None:
        """GB/s that one rank sends in an all-reduce over all ranks; None for one rank.

        A ring sends 2 * (n - 1) / n of the data from every rank. Source: NCCL's tests, PERFORMANCE.md ("bus bandwidth").
        """
        world = self.plan.topology.world_size
        if world == 1:
            return None
        data = torch.ones(_SENT[self.plan.device] // 4, device=device)
        dist.all_reduce(data)
        times: list[float] = []
        for _ in range(_ROUNDS):
            _wait(self.plan.device)
            began = time.monotonic()
            dist.all_reduce(data)
            _wait(self.plan.device)
            times.append(time.monotonic() - began)
        sent = 2 * (world - 1) / world * _SENT[self.plan.device]
        return significant(sent / min(times) / 1e9)


def _memory_gib() -> list[float]:
    """GiB: peak of tensors on the GPU, peak that torch reserved, memory used outside of torch, and peak on the host."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if not torch.cuda.is_available():
        return [0.0, 0.0, 0.0, host]
    free, total = torch.cuda.mem_get_info()
    reserved = torch.cuda.memory_reserved()
    peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), total - free - reserved
    return [*(value / 2**30 for value in peaks), host]


def _gather(values: list[float], device: Any) -> list[list[float]]:
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [values]
    mine = torch.tensor(values, dtype=torch.float64, device=device)
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine)
    return [one.tolist() for one in every]


def _wait(device: str) -> None:
    """Waits for the GPU of this rank and for all ranks."""
    if device == "cuda":
        torch.cuda.synchronize()
