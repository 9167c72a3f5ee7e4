"""Measurements of a run: step time, peak memory of every rank, and the bandwidth between ranks."""

import resource
import statistics
import time
from collections import deque
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.run.events.ranks import Measured
from launcher.units import GIB, significant

_WARM_UP = 3
"""Number of first steps that are not measured."""
_EARLY = 10
"""Steps of an attempt after which it reports for the first time, so that an interrupted attempt has reported too."""
_LINK_BYTES = {"cuda": 64 << 20, "cpu": 4 << 20}
"""Bytes of the all-reduce that measures the links."""
_ROUNDS = 3


class StepClock:
    """Seconds of every step so far, by the clock of the host."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._begin = 0.0
        self.steps = 0

    def begin(self) -> None:
        """Marks the beginning of a step."""
        self._begin = time.monotonic()

    def end(self) -> None:
        """Marks the end of a step."""
        self.steps += 1
        self._times.append(time.monotonic() - self._begin)

    def times(self) -> list[float]:
        """Seconds of each step."""
        return self._times


class CudaClock(StepClock):
    """Seconds of every step on the GPU, between two events of its stream: the host waits for the GPU only when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._running: deque[tuple[Any, Any]] = deque()
        """Begin and end of the steps that the GPU has not finished at the last look."""

    def begin(self) -> None:
        """Records an event in the stream."""
        self._started = torch.cuda.Event(enable_timing=True)
        self._started.record()

    def end(self) -> None:
        """Records an event in the stream, and takes the times of steps that the GPU has finished meanwhile."""
        self.steps += 1
        ended = torch.cuda.Event(enable_timing=True)
        ended.record()
        self._running.append((self._started, ended))
        while self._running and self._running[0][1].query():
            self._take()

    def times(self) -> list[float]:
        """Seconds of each step; waits for the newest."""
        if self._running:
            self._running[-1][1].synchronize()
        while self._running:
            self._take()
        return self._times

    def _take(self) -> None:
        started, ended = self._running.popleft()
        self._times.append(started.elapsed_time(ended) / 1e3)


class Meter(TrainerCallback):
    """Gathers the figures of all ranks and writes them as one event, early and at the end."""

    def __init__(self, run: RunDir, plan: LaunchPlan, attempt: int, rank: int) -> None:
        self.run, self.plan, self.attempt, self.rank = run, plan, attempt, rank
        self._clock: StepClock = CudaClock() if plan.device == "cuda" else StepClock()
        self._load_gib = 0.0
        self._link_gb_s: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the peak while the model was loaded, and begins to measure that of the training."""
        if self.plan.device == "cuda":
            self._load_gib = torch.cuda.max_memory_allocated() / GIB
            torch.cuda.reset_peak_memory_stats()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock of a step."""
        self._clock.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops the clock of the step; after a few steps, writes the first report of this attempt."""
        self._clock.end()
        if self._clock.steps == _EARLY:
            self._link_gb_s = self._measure_link(args.device)
            self._tell(args.device, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the last report."""
        if self._clock.steps:
            self._tell(args.device, state.global_step)

    def _tell(self, device: Any, step: int) -> None:
        times = self._clock.times()
        mine = [statistics.median(times[_WARM_UP:] or times), *_memory_gib(), self._load_gib]
        every = _gather(mine, device)
        if self.rank:
            return
        step_s, peak, reserved, context, host, load = (list(column) for column in zip(*every, strict=True))
        cuda = self.plan.device == "cuda"
        self.run.note(
            Measured(
                attempt=self.attempt,
                step=step,
                steps=len(times),
                step_s=round(max(step_s), 5),
                peak_gib=round(max(peak), 3) if cuda else None,
                peak_gib_by_rank=[round(value, 3) for value in peak] if cuda else None,
                load_gib=round(max(load), 3) if cuda else None,
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
        data = torch.ones(_LINK_BYTES[self.plan.device] // 4, device=device)
        dist.all_reduce(data)
        times: list[float] = []
        for _ in range(_ROUNDS):
            _wait(self.plan.device)
            began = time.monotonic()
            dist.all_reduce(data)
            _wait(self.plan.device)
            times.append(time.monotonic() - began)
        sent = 2 * (world - 1) / world * _LINK_BYTES[self.plan.device]
        return significant(sent / min(times) / 1e9)


def _memory_gib() -> list[float]:
    """GiB: peak of tensors on the GPU, peak that torch reserved, memory used outside of torch, and peak on the host."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if not torch.cuda.is_available():
        return [0.0, 0.0, 0.0, host]
    free, total = torch.cuda.mem_get_info()
    reserved = torch.cuda.memory_reserved()
    peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), total - free - reserved
    return [*(value / GIB for value in peaks), host]


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
