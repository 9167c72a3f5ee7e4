"""Lines of a large file of JSON lines, found by their place in it: forwards, backwards, or by bisection."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_WINDOW = 1 << 14
"""Bytes that are read at once to find a line."""


class LineFile:
    """Random access to the complete lines of a file that only grows. OSError if it cannot be read."""

    def __init__(self, path: Path) -> None:
        # opened again for each look: NFS shows what other hosts wrote when a file is opened (close-to-open consistency)
        self._file = path.open("rb", buffering=0)
        facts = os.fstat(self._file.fileno())
        self.size = facts.st_size
        """Bytes at the time of opening."""
        self.inode = facts.st_ino

    def read(self, at: int, count: int) -> bytes:
        """At most that many bytes from this offset on."""
        return os.pread(self._file.fileno(), count, at)

    def forward(self, at: int, end: int) -> Iterator[tuple[int, bytes]]:
        """(offset, line) of the lines that begin at `at` or later and end before `end`, in their order."""
        start = at
        if at > 0:
            while at < end and (found := self.read(at - 1, _WINDOW)):
                place = found.find(b"\n")
                if place >= 0:
                    start = at + place
                    break
                at += len(found)
            else:
                return
        rest, at = b"", start
        while at < end and (found := self.read(at, min(_WINDOW, end - at))):
            at += len(found)
            *lines, rest = (rest + found).split(b"\n")
            for line in lines:
                yield start, line
                start += len(line) + 1

    def backward(self, end: int) -> Iterator[tuple[int, bytes]]:
        """(offset, line) of the lines before `end`, the last one first; `end` is the end of a line."""
        text, at = b"", end
        while text or at > 0:
            while (cut := text.rfind(b"\n", 0, -1)) >= 0:
                yield at + cut + 1, text[cut + 1 : -1]
                text = text[: cut + 1]
            if at == 0:
                yield 0, text[:-1]
                return
            begin = max(0, at - _WINDOW)
            text, at = self.read(begin, at - begin) + text, begin

    def first(self, begin: int, end: int, reached: Callable[[bytes], bool | None]) -> int:
        """The offset of the first line between them for which `reached` is True, by bisection; `end` if there is none.

        `reached` is False for all lines before it and True from it on; None for lines that do not count.
        """
        low, high = begin, end
        while high - low > _WINDOW:
            middle = (low + high) // 2
            for start, line in self.forward(middle, high):
                if (found := reached(line)) is not None:
                    low, high = (low, middle) if found else (start + len(line) + 1, high)
                    break
            else:
                high = middle
        return next((start for start, line in self.forward(low, end) if reached(line)), end)
