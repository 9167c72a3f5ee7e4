"""The samples of every step: one stream that is the same on any number of ranks."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

from launcher.plan.topology import Batch


class GlobalOrder(Sampler[list[int]]):
    """This rank's micro-batches as lists of row numbers.

    The data is one stream of epochs, each shuffled by (seed, epoch). Step s uses samples [s * global, (s + 1) * global) of it,
    so the position in the data is a number of samples, and neither a different number of ranks nor a restart repeats or skips a
    sample.
    """

    def __init__(self, rows: int, batch: Batch, steps: int, seed: int, rank: int, ranks: int) -> None:
        """`rank` of `ranks`: among the ranks with different samples."""
        self.rows, self.batch, self.steps, self.seed = rows, batch, steps, seed
        self.rank, self.ranks = rank, ranks
        self.first_step = 0
        """Number of steps done before this start."""
        self.skipped: list[int] = []
        """Batches that are left out, ascending; later steps use the batches after them."""
        self._epoch = -1
        self._permutation: list[int] = []

    def __len__(self) -> int:
        """Number of micro-batches of the whole run, including those done before."""
        return self.steps * self.batch.gradient_accumulation_steps

    def __iter__(self) -> Iterator[list[int]]:
        micro = self.batch.micro_batch_size
        for step in range(self.first_step, self.steps):
            for turn in range(self.batch.gradient_accumulation_steps):
                first = (
                    self.batch_of(step) * self.batch.global_batch_size
                    + (turn * self.ranks + self.rank) * micro
                )
                yield [self._row(position) for position in range(first, first + micro)]

    def batch_of(self, step: int) -> int:
        """The number of the batch that a step uses."""
        batch = step
        for skipped in self.skipped:
            if skipped <= batch:
                batch += 1
        return batch

    def rows_of(self, step: int) -> list[int]:
        """The rows of a step over all ranks."""
        first, size = self.batch_of(step) * self.batch.global_batch_size, self.batch.global_batch_size
        return [self._row(position) for position in range(first, first + size)]

    def _row(self, position: int) -> int:
        epoch, index = divmod(position, self.rows)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed + (epoch << 32))
            self._permutation = torch.randperm(self.rows, generator=generator).tolist()
            self._epoch = epoch
        return self._permutation[index]


class GroupOrder(GlobalOrder):
    """The rows of this rank if `group` answers are generated for each row, all rows of a step in one list.

    A step uses global / group rows of the stream, each repeated `group` times; every rank has an equal slice of these. Each
    forward pass of a step gets the same list.
    """

    def __init__(self, *arguments: Any, group: int) -> None:
        super().__init__(*arguments)
        self.group = group

    def __iter__(self) -> Iterator[list[int]]:
        size = self.batch.micro_batch_size * self.batch.gradient_accumulation_steps
        for step in range(self.first_step, self.steps):
            first = self.batch_of(step) * self.batch.global_batch_size + self.rank * size
            rows = [self._row(answer // self.group) for answer in range(first, first + size)]
            for _ in range(self.batch.gradient_accumulation_steps):
                yield rows


class EvalOrder(Sampler[list[int]]):
    """This rank's batches of an evaluation in which every row occurs once; all ranks have the same number of batches.

    After the last row, the number `rows` means the extra row without labels (see rows.py).
    """

    def __init__(self, rows: int, batch_size: int, rank: int, ranks: int) -> None:
        """`rank` of `ranks`: among the ranks with different rows."""
        self.rows, self.batch_size, self.rank, self.ranks = rows, batch_size, rank, ranks

    def __len__(self) -> int:
        return -(-self.rows // (self.batch_size * self.ranks))

    def __iter__(self) -> Iterator[list[int]]:
        for turn in range(len(self)):
            first = (turn * self.ranks + self.rank) * self.batch_size
            yield [min(row, self.rows) for row in range(first, first + self.batch_size)]
