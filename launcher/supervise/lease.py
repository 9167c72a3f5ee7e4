"""The lease of a run dir: only the supervisor that holds it writes there."""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from launcher.errors import AlreadyRunning, RunError
from launcher.run import RunDir, now, write_text

_SETTLE_S = 0.2
_WAIT_S = 900.0
_ASK_S = _LOOK_S = 3.0


class Lease:
    """Held from `take` to `release`. Another supervisor may take it over once the cluster says that this one is gone."""

    def __init__(self, run: RunDir, who: dict[str, Any]) -> None:
        self.run = run
        self.mine = {**who, "nonce": secrets.token_hex(8), "time": now()}
        self.lost = False
        """Whether `watch` has seen that another supervisor has taken it over."""
        self._over = threading.Event()

    @property
    def nonce(self) -> str:
        """What the ranks compare with the lease before they commit a checkpoint."""
        return str(self.mine["nonce"])

    def take(self, lives: Callable[[dict[str, Any]], bool | None], wait_s: float = _WAIT_S) -> None:
        """Returns once the lease is held. `lives` says whether a holder lives, None if that is not known yet.

        AlreadyRunning if the holder lives, or if that is still unknown after `wait_s`.
        """
        deadline = time.monotonic() + wait_s
        while True:
            holder = self._read()
            if holder is None:
                if self._create():
                    return
                continue
            same_job = holder["job_id"] is not None and holder["job_id"] == self.mine["job_id"]
            alive = False if same_job and holder["restart"] != self.mine["restart"] else lives(holder)
            if alive is False and self._take_over():
                return
            if alive or (alive is None and time.monotonic() > deadline):
                job = f"job {holder['job_id']}" if holder["job_id"] else f"process {holder['pid']}"
                doubt = "" if alive else f"; if it is gone, remove {self.run.lease}"
                raise AlreadyRunning(f"{self.run.path} is being trained by {job} on {holder['host']}{doubt}")
            time.sleep(_ASK_S if alive is None else 0)

    def watch(self) -> None:
        """Starts to look whether the lease is still held; in a thread, because a file system may hang."""

        def look() -> None:
            while not self._over.wait(_LOOK_S):
                if not self.held():
                    self.lost = not self._over.is_set()
                    return

        threading.Thread(target=look, daemon=True).start()

    def held(self) -> bool:
        """Whether the lease is still held; true if the file system does not answer."""
        return self.run.leased_to(self.nonce)

    def release(self) -> None:
        """Gives the lease up if it is still held."""
        self._over.set()
        if self.held():
            self.run.lease.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        if not self.run.lease.exists():
            return None
        try:
            holder = self.run.read_json(self.run.lease)
            for key in ("job_id", "restart", "host", "pid", "started"):
                holder[key]  # RunError without it
        except RunError as error:
            if not self.run.lease.exists():
                return None
            raise AlreadyRunning(
                f"{error} It says which supervisor has this run dir. If no job of the run is left, remove {self.run.lease} and "
                f"type python -m launcher resume {self.run.name}"
            ) from None
        return holder

    def _create(self) -> bool:
        own = self.run.lease.with_name(f".lease.{self.nonce}")
        write_text(own, json.dumps(self.mine) + "\n", durable=True)
        try:
            os.link(own, self.run.lease)
        except FileExistsError:
            return False
        finally:
            own.unlink()
        return True

    def _take_over(self) -> bool:
        """Whether the lease is held now. Of several supervisors that take over at once, the last one holds it."""
        write_text(self.run.lease, json.dumps(self.mine) + "\n", durable=True)
        time.sleep(_SETTLE_S)
        return self.held()
