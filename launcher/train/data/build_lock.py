"""A lock for something that one of many processes builds. It is held as long as the holder shows that it lives.

filelock is not used: its flock is missing on some shared file systems, and its SoftFileLease (3.30) has no room for the
holder's progress, by which processes that wait show that they are not hung.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SIGN_S = 1.0
"""Seconds between two signs of life of the holder."""
STALE_S = 30.0
"""Seconds without a sign of life after which the holder is gone, by the clock of the reader, because clocks of hosts differ."""
_POLL_S = 0.25


class BuildLock:
    """A file that its holder rewrites again and again. It works on file systems without locks, and it is advisory: if a
    holder pauses and another one takes over, both do the work."""

    def __init__(self, path: Path, stale_s: float = STALE_S) -> None:
        self.path, self.stale_s = path, stale_s
        self.nonce = uuid.uuid4().hex
        self.count = 0
        """Progress of the holder, which waiting processes may show."""
        self._over = threading.Event()

    def take(self, done: Callable[[], bool], waiting: Callable[[int], None]) -> bool:
        """True once this process holds the lock, False once another has `done` the work; passes its progress to `waiting`."""
        seen, since = self._read(), time.monotonic()
        while not done():
            if self._create() or time.monotonic() - since > self.stale_s:
                self._begin()
                return True
            time.sleep(_POLL_S)
            content = self._read()
            if content != seen:
                seen, since = content, time.monotonic()
            waiting(int(content.get("count", 0)))
        return False

    def is_lost(self) -> bool:
        """Whether another process has taken the lock over, because this one paused."""
        return self._read().get("nonce", self.nonce) != self.nonce

    def release(self) -> None:
        """Ends the signs of life, and removes the file if this process still holds the lock."""
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
        while not self._over.wait(_SIGN_S) and not self.is_lost():
            turn += 1
            with contextlib.suppress(OSError):  # the writer of the data reports a full disk
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
