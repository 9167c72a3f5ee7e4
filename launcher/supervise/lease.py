"""The lease of a run dir: only the supervisor that holds it writes there.

The next holder takes it by a claim (launcher.run.nonce), which is an exclusive hard link. So each term has one owner, and an
earlier owner finds that it was replaced. The next holder is another supervisor of a job that outlives its batch host, a later
job once the cluster says that the earlier one is gone, or nobody when the lease is given up. Neither lease.json nor a claim is
ever removed.

While it is held, the time of lease.json changes each second. It is a heartbeat on the file system: as long as it changes, the
supervisor lives, even if the network between it and others is cut.
"""

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launcher.errors import AlreadyRunning, RunError
from launcher.reading import Document
from launcher.run import RunDir, now, write_text
from launcher.run.locks import create_new
from launcher.run.nonce import GIVEN_UP, Held, find_held, join_nonce, leased_to, split_nonce
from launcher.timeouts import LEASE_HEARTBEAT_S

_WAIT_S = 900.0
_ASK_S = 3.0
_AGAIN_S = 0.01
_FIELDS = ("job_id", "restart", "host", "pid", "started")
"""What lease.json says of its holder."""


class Lease:
    """Held from `take` to `release`. Another supervisor may take it over once the cluster says that this one is gone."""

    def __init__(self, run: RunDir, who: dict[str, Any]) -> None:
        self.run = run
        self.mine = {**who, "nonce": secrets.token_hex(8), "time": now()}
        self.lost = False
        """Whether `watch` has seen that another supervisor has taken it over."""
        self.resting = False
        """Whether the heartbeat pauses, so that another supervisor of the job may take over."""
        self._over = threading.Event()
        self._released = False

    @property
    def first(self) -> str:
        """The nonce of the job's first supervisor."""
        return split_nonce(self.nonce)[0]

    @property
    def term(self) -> int:
        """Which supervisor of its job this is, from 1."""
        return split_nonce(self.nonce)[1]

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
            held = self._read()
            if held is None or held.given_up:
                if self._create() if held is None else self._take_over(held):
                    return
                time.sleep(_AGAIN_S)
                continue
            holder = held.job
            same_job = holder["job_id"] is not None and holder["job_id"] == self.mine["job_id"]
            alive = False if same_job and holder["restart"] != self.mine["restart"] else lives(holder)
            if alive is False and self._take_over(held):
                return
            if alive or (alive is None and time.monotonic() > deadline):
                job = f"job {holder['job_id']}" if holder["job_id"] else f"process {holder['pid']}"
                doubt = "" if alive else f"; if it is gone, remove {self.run.lease}"
                raise AlreadyRunning(f"{self.run.path} is being trained by {job} on {holder['host']}{doubt}")
            time.sleep(_ASK_S if alive is None else _AGAIN_S)

    def succeed(self, first: str, term: int) -> bool:
        """Whether this supervisor holds the lease of its job from now on, as the one of that term. `first`: the nonce of the
        job's first supervisor."""
        nonce = join_nonce(first, term)
        if holder_of(self.run) != first or not self._claim(nonce, {**self.mine, "nonce": nonce}):
            return False
        self.mine["nonce"] = nonce
        return self.held()

    def watch(self, every_s: float = LEASE_HEARTBEAT_S) -> None:
        """Starts a thread that writes the heartbeat and checks whether the lease is still held. A file system may hang.

        `every_s`: seconds between two heartbeats.
        """

        def look() -> None:
            while not self._over.wait(every_s):
                if not self.held():
                    self.lost = not self._over.is_set()
                    return
                if not self.resting:
                    with contextlib.suppress(OSError):
                        os.utime(self.run.lease)

        threading.Thread(target=look, daemon=True).start()

    def held(self) -> bool:
        """Whether the lease is still held; true if the file system does not answer."""
        return leased_to(self.run, self.nonce)

    def may_write(self) -> bool:
        """Whether this supervisor may write to the run dir: it holds the lease, or has given it up itself."""
        return self._released or self.held()

    def release(self) -> None:
        """Gives the lease up if it is still held. Nothing is removed: another supervisor may have it the next moment."""
        self._over.set()
        # if this fails, for example on a full disk, the next job learns from the cluster that this one is gone
        with contextlib.suppress(OSError):
            if not self.held():
                return
            job = find_held(self.run).job
            if self._claim(join_nonce(self.first, self.term + 1), {**self.mine, GIVEN_UP: True}):
                self._released = True
                # a client of NFS can take a new file for missing for a minute, but sees new content at once
                write_text(self.run.lease, json.dumps({**job, GIVEN_UP: True}) + "\n", durable=True)

    def _read(self) -> Held | None:
        """Who has the run dir; None if nobody ever had it."""
        try:
            held = find_held(self.run)
            if not held.given_up:
                holder = Document(held.job, str(self.run.lease))
                for key in _FIELDS:
                    holder[key]  # RunError without it
        except FileNotFoundError:
            return None
        except RunError as error:
            raise AlreadyRunning(
                f"{error} It says which supervisor has this run dir. If no job of the run is left, remove {self.run.lease} and "
                f"type python -m launcher resume {self.run.name}"
            ) from None
        return held

    def _create(self) -> bool:
        return self._link(self.run.lease, self.mine)

    def _take_over(self, held: Held) -> bool:
        """Whether the run dir is this one's now. Of several supervisors that take it at once, one gets it."""
        if not self._claim(join_nonce(held.first, held.term + 1), self.mine):
            return False
        write_text(self.run.lease, json.dumps(self.mine) + "\n", durable=True)
        return True

    def _claim(self, nonce: str, values: dict[str, Any]) -> bool:
        """Whether this supervisor has made the claim of this nonce, which only one can."""
        return self._link(self.run.claim(nonce), values)

    def _link(self, path: Path, values: dict[str, Any]) -> bool:
        return create_new(path, json.dumps(values) + "\n")


def read_holder(run: RunDir) -> dict[str, Any] | None:
    """What the first supervisor of the job that has the run dir wrote of itself; None if nobody has it, or if that cannot be
    read."""
    try:
        held = find_held(run)
    except (OSError, RunError):
        return None
    return None if held.given_up else {**held.job, "nonce": held.first}


def holder_of(run: RunDir) -> str | None:
    """The nonce of the first supervisor of the job that has the run dir; None as for `read_holder`."""
    holder = read_holder(run)
    return None if holder is None else str(holder["nonce"])


def newest_heartbeat(run: RunDir) -> int | None:
    """The time of the newest heartbeat, to be compared only with an earlier one; None if it cannot be read."""
    try:
        # NFS asks its server for the time when a file is opened (close-to-open consistency)
        descriptor = os.open(run.lease, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)
