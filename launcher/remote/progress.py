"""A line on a terminal that shows the progress of a transfer."""

import sys
import time

from launcher.units import size

_EVERY_S = 0.5


class Progress:
    """Shows which share of the bytes is done, only on a terminal."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._shown = total, 0, time.monotonic()

    def add(self, count: int) -> None:
        """Adds bytes that are done."""
        self._done += count
        if sys.stderr.isatty() and time.monotonic() - self._shown > _EVERY_S:
            self._shown = time.monotonic()
            share = self._done / self._total
            print(f"\r{share:4.0%} of {size(self._total)}", end="\r", file=sys.stderr, flush=True)
