"""Examples encoded by several processes, in their order."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from launcher.data.kinds import Example
from launcher.errors import DataError
from launcher.processes import death_with_parent

T = TypeVar("T")
Numbered = tuple[int, Example]
"""Line and example."""
_CHUNK = 64
_AHEAD = 4
"""Chunks for each process that are read before their results are used, so that memory stays small."""
_encode: list[Callable[[int, Example], Any]] = []
"""The function of the forked processes. They inherit it, because not all closures and tokenizers can be pickled."""


@dataclass(frozen=True, slots=True)
class Encoders:
    """A number of processes that encode examples."""

    count: int
    """1 encodes in this process."""

    def map(
        self, encode: Callable[[int, Example], T], examples: Iterator[Numbered]
    ) -> Iterator[tuple[int, Example, T]]:
        """Every line and example with what `encode` makes of it, in order. The rows do not depend on the number of processes.

        DataError if a process is killed; an error of `encode` is raised unchanged.
        """
        if self.count == 1:
            for line, example in examples:
                yield line, example, encode(line, example)
            return
        _encode[:] = [encode]
        pool = ProcessPoolExecutor(
            self.count, mp_context=multiprocessing.get_context("fork"), initializer=death_with_parent()
        )
        try:
            yield from _in_order(pool, examples, self.count * _AHEAD)
        except BrokenProcessPool:
            raise DataError(
                f"one of {self.count} processes that tokenize was killed; is the memory too small? Use fewer: --workers 1"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            _encode.clear()


ALONE = Encoders(1)


def _in_order(
    pool: ProcessPoolExecutor, examples: Iterator[Numbered], most: int
) -> Iterator[tuple[int, Example, Any]]:
    waiting: deque[tuple[list[Numbered], Future[list[Any]]]] = deque()
    chunks = iter(lambda: list(islice(examples, _CHUNK)), [])
    for chunk in chunks:
        waiting.append((chunk, pool.submit(_encoded, chunk)))
        if len(waiting) >= most:
            yield from _taken(*waiting.popleft())
    while waiting:
        yield from _taken(*waiting.popleft())


def _taken(chunk: list[Numbered], future: "Future[list[Any]]") -> Iterator[tuple[int, Example, Any]]:
    for (line, example), made in zip(chunk, future.result(), strict=True):
        yield line, example, made


def _encoded(chunk: list[Numbered]) -> list[Any]:
    return [_encode[0](line, example) for line, example in chunk]
