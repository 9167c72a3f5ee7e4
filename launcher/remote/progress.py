"""A line on a terminal that says how much of a transfer is done."""

import sys
import time

from launcher.units import size

_EVERY_S = 0.5


class Progress:
    """Shows the share of a number of bytes, on a terminal only."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._shown = total, 0, time.monotonic()

    def add(self, count: int) -> None:
        """So many bytes more are done."""
        self._done += count
        if sys.stderr.isatty() and time.monotonic() - self._shown > _EVERY_S:
            self._shown = time.monotonic()
            share = self._done / self._total
            print(f"\r{share:4.0%} of {size(self._total)}", end="\r", file=sys.stderr, flush=True)
