"""The tokens of every step, known on every rank without communication, and the training speed."""

import math
import resource
import time
from dataclasses import dataclass, fields
from typing import Any

import torch

from launcher.plan import LaunchPlan
from launcher.plan.flops import count_flops
from launcher.plan.gpu import find_gpu
from launcher.train.data.order import GlobalOrder
from launcher.train.data.rows import RowCounts
from launcher.units import GIB, significant

FIGURES = (
    "tokens", "trained_tokens", "tokens_per_s", "tokens_per_s_per_gpu", "mfu", "hfu", "peak_memory_gib", "data_wait_s",
    "expert_load", "router_aux_loss",
)  # fmt: skip
"""Figures of a logged step in addition to loss, learning rate and gradient norm."""


@dataclass
class RowSums:
    """Sums over rows."""

    tokens: int = 0
    trained: int = 0
    pairs: int = 0
    """Pairs of tokens that attention compares."""

    def __sub__(self, other: "RowSums") -> "RowSums":
        return RowSums(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(RowSums)))


class Tally:
    """The tokens of a run so far over all ranks, and the rates since the last log.

    The rows of every step follow from the order of data, so the ranks need not communicate.
    """

    def __init__(
        self,
        plan: LaunchPlan,
        dataset: Any,
        order: GlobalOrder,
        peak_tflops: float | None,
        extra_passes: int = 0,
    ) -> None:
        """`peak_tflops`: peak of one GPU or CPU rank; None uses the data sheet of a known GPU. `extra_passes`: forward passes
        of the method in addition to the one that is trained on."""
        self.counts, self.order, self.seen = RowCounts(dataset), order, RowSums()
        self._flops = count_flops(plan, extra_passes)
        cuda = torch.cuda.is_available() and plan.device == "cuda"
        known = find_gpu(torch.cuda.get_device_name()) if cuda else None
        self._peak = peak_tflops or (known.tflops if known else None)
        self._ranks, self._cuda = plan.topology.world_size, cuda
        self.waited_s = 0.0
        """Seconds that this rank has waited for batches."""
        self.restart_clock()

    def restart_clock(self) -> None:
        """Begins the interval for the next rates."""
        self._last, self._at, self._waited = RowSums(**vars(self.seen)), time.monotonic(), self.waited_s

    def leave_out(self, seconds: float) -> None:
        """Excludes time without training, such as an evaluation, from the interval."""
        self._at += seconds

    def add_step(self, step: int) -> None:
        """Counts the rows of the step with this number, from 0."""
        rows = self.order.rows_of(step)
        self.seen.tokens += int(self.counts.tokens[rows].sum())
        self.seen.trained += int(self.counts.trained[rows].sum())
        self.seen.pairs += int(self.counts.pairs[rows].sum())

    def trained_in(self, step: int) -> int:
        """Trained tokens of the step with this number, from 0."""
        return int(self.counts.trained[self.order.rows_of(step)].sum())

    def figures(self) -> dict[str, float | int | None]:
        """Tokens so far, speed since the last log line, and peak memory, for a log line."""
        seconds = max(time.monotonic() - self._at, 1e-9)
        new, waited = self.seen - self._last, self.waited_s - self._waited
        self.restart_clock()
        return {
            "tokens": self.seen.tokens,
            "trained_tokens": self.seen.trained,
            "tokens_per_s": round(new.tokens / seconds, 2),
            "tokens_per_s_per_gpu": round(new.tokens / seconds / self._ranks, 2),
            **self._utilization(new, seconds),
            "peak_memory_gib": round(peak_memory_gib(self._cuda), 3),
            "data_wait_s": round(waited, 4),
        }

    def _utilization(self, new: RowSums, seconds: float) -> dict[str, float | None]:
        """Model and hardware FLOP/s over the peak of all ranks; None if FLOPs or peak are unknown."""
        if self._flops is None or self._peak is None:
            return {"mfu": None, "hfu": None}
        most = self._peak * 1e12 * self._ranks * seconds
        return {
            "mfu": significant(self._flops.model(new.tokens, new.pairs) / most),
            "hfu": significant(self._flops.hardware(new.tokens, new.trained, new.pairs) / most),
        }


def peak_memory_gib(cuda: bool) -> float:
    """Peak memory of this rank: of tensors on its GPU, or of the process on a CPU."""
    if cuda:
        return torch.cuda.max_memory_allocated() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def perplexity(loss: float) -> float | None:
    """e to the power of the loss; None if the result is too large for a float."""
    return math.exp(loss) if loss < 700 else None
