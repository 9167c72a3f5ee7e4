"""Tokens that rank 0 finds or makes and all ranks read."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launcher.errors import DataError
from launcher.run import RunDir, write_text
from launcher.run.events.ranks import Tokenizing
from launcher.train.data.build_lock import STALE_S
from launcher.train.data.cache import ROWS, Make, TokenCache, read_json
from launcher.train.data.encoders import ALONE, Encoders
from launcher.train.heartbeat import Heartbeat

_POLL_S = 0.25
_SAY_S = 1.0
_SILENT_S = 3600.0
"""Seconds without progress of rank 0 after which the other ranks give up; a supervisor reacts earlier."""


class Shared:
    """Files that rank 0 writes and all ranks read. data.json in the run dir announces them, so no collective waits for them."""

    encoders: Encoders = ALONE
    """A rank encodes by itself, because it is not safe to fork a process that has a GPU context."""

    def __init__(
        self,
        run: RunDir,
        cache_dir: str,
        attempt: int,
        rank: int,
        heartbeat: Heartbeat,
        *,
        stale_s: float = STALE_S,
        near: Callable[[Path], Path] = lambda folder: folder,
    ) -> None:
        """`near`: folder of tokens -> where this node reads them."""
        self.run, self.attempt, self.rank, self.heartbeat = run, attempt, rank, heartbeat
        self.cache = TokenCache(cache_dir, stale_s=stale_s)
        self.near = near
        self._written: dict[str, Any] = {}
        self._next = 0.0

    @property
    def folder(self) -> Path:
        """The folder of all tokens."""
        return self.cache.folder

    def forget(self) -> None:
        """Deletes the announcements of an earlier attempt. Rank 0 must call it before the first collective of the ranks."""
        if self.rank == 0:
            self.run.data.unlink(missing_ok=True)

    def rows(self, name: str, key: Callable[[], dict[str, Any]], make: Make) -> Path:
        """The file of rows for the result of `key`; `make` writes it if there is none. Every rank must call this with the same
        names in the same order."""
        if self.rank:
            return self._near(self._wait(name))
        begun = time.monotonic()
        found = self.cache.find_or_make(
            key(), make, self._progress, lambda folder: self._begins(name, folder)
        )
        result = {**found.facts, "tokenized": found.made, "seconds": round(time.monotonic() - begun, 2)}
        self.run.add_event("data", attempt=self.attempt, set=name, folder=str(found.folder), **result)
        self._say({name: {"folder": str(found.folder), **result}, "progress": 0})
        self.heartbeat.phase("data", 0)
        return self._near(found.folder)

    def _near(self, folder: Path) -> Path:
        path = self.near(folder) / ROWS
        self.heartbeat.phase("data", 0)
        return path

    def _begins(self, name: str, key: str) -> None:
        self.run.note(Tokenizing(attempt=self.attempt, set=name, key=key))

    def _progress(self, count: int) -> None:
        self.heartbeat.phase("data", count)
        if time.monotonic() > self._next:
            self._next = time.monotonic() + _SAY_S
            self._say({"progress": count})

    def _say(self, more: dict[str, Any]) -> None:
        self._written |= more
        write_text(self.run.data, json.dumps({"attempt": self.attempt, **self._written}, indent=1) + "\n")

    def _wait(self, name: str) -> Path:
        seen, since = -1, time.monotonic()
        while True:
            content = read_json(self.run.data)
            if name in content:
                self.heartbeat.phase("data", 0)
                return Path(content[name]["folder"])
            count = int(content.get("progress", 0))
            if count != seen:
                seen, since = count, time.monotonic()
            if time.monotonic() - since > _SILENT_S:
                raise DataError(
                    f"rank 0 has made no progress with the {name} tokens for {_SILENT_S:.0f} s; see its log"
                )
            self.heartbeat.phase("data", count)
            time.sleep(_POLL_S)
