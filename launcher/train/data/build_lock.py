"""Who makes something that many want: one process, as long as it shows that it lives."""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SHOWS_S = 1.0
"""Seconds between two signs of life."""
STALE_S = 30.0
"""Seconds without one after which its maker is gone. By the reader's clock alone: hosts' clocks differ."""
_POLL_S = 0.25


class BuildLock:
    """A file that its holder rewrites all the time. File systems without locks are enough for it, and it is advice only: two
    holders at once, after a pause of one, do the work twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nonce = uuid.uuid4().hex
        self.count = 0
        """How far its holder is; others may show it."""
        self._over = threading.Event()

    def take(self, done: Callable[[], bool], waiting: Callable[[int], None]) -> bool:
        """True once this process holds it, false once the work is `done` by another; tells `waiting` how far that one is."""
        seen, since = self._read(), time.monotonic()
        while not done():
            if self._create() or time.monotonic() - since > STALE_S:
                self._begin()
                return True
            time.sleep(_POLL_S)
            said = self._read()
            if said != seen:
                seen, since = said, time.monotonic()
            waiting(int(said.get("count", 0)))
        return False

    def is_lost(self) -> bool:
        """Whether another process has taken it over, since this one stood still."""
        return self._read().get("nonce", self.nonce) != self.nonce

    def release(self) -> None:
        """Ends the signs of life, and takes the file away where it still is this process's."""
        self._over.set()
        self._thread.join()
        if self._read().get("nonce") == self.nonce:
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        return True

    def _begin(self) -> None:
        self._show(0)
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        turn = 0
        while not self._over.wait(_SHOWS_S) and not self.is_lost():
            turn += 1
            with contextlib.suppress(OSError):  # a full disk is told by what writes the data
                self._show(turn)

    def _show(self, turn: int) -> None:
        temporary = self.path.with_name(f"{self.path.name}.{self.nonce}")
        temporary.write_text(json.dumps({"nonce": self.nonce, "turn": turn, "count": self.count}))
        temporary.replace(self.path)

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
