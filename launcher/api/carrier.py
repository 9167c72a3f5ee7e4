"""The thread that carries all jobs to their end: which job takes its next step, and when.

Everything that it knows is in the database and in the run dirs, so that a server that was killed goes on where it was. A few
threads take the steps that wait for other processes; each job has at most one step at a time.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from launcher.api.calls import CallFailed
from launcher.api.data_dir import DataDir
from launcher.api.files import StoredFiles
from launcher.api.job_rows import add_event
from launcher.api.steps import Steps
from launcher.api.store import Row, Store
from launcher.api.watching import Watch
from launcher.errors import ClusterError, LauncherError
from launcher.output import say

_TURN_S = 1.0
_LOOK_S = 3.0
"""Seconds between two questions to a scheduler about its jobs."""
_AGAIN_S = 30.0
"""Seconds until a step that has failed is tried again for the first time."""
_LONGEST_S = 600.0
"""Seconds to which that grows, twice as long each time, while the reason is one that may pass."""
_MOST_TRIES = 5
"""Tries of a step that fails for a reason that will not pass by itself."""
_THREADS = 2
"""Threads that take steps, each of which waits for a process."""
_ACTIVE = ("start", "watch", "stopping")
"""Stages in which a job counts against at_once."""


class Carrier:
    """Takes the steps of all jobs until it is closed."""

    def __init__(
        self,
        store: Store,
        data_dir: DataDir,
        steps: Steps,
        files: StoredFiles,
        *,
        at_once: int,
        queued: bool,
        again_s: float = _AGAIN_S,
    ) -> None:
        """`queued`: whether a scheduler has the jobs. `again_s`: seconds until a step that has failed is tried again."""
        self._store, self._steps, self._files, self._at_once = store, steps, files, at_once
        self._again_s = again_s
        self._watch = Watch(store, data_dir, steps)
        self._look_s, self._looked = _LOOK_S if queued else _TURN_S, 0.0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="step")
        self._busy: dict[str, str] = {}
        """Job that a thread works on -> its stage when that began."""
        self._later: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._carry, name="carrier", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Begins the next turn at once, because a request has changed a job."""
        self._wake.set()

    def stop(self) -> None:
        """Begins no further step; runs go on."""
        self._closed = True
        self._wake.set()

    def close(self) -> None:
        """The same, and returns when the steps that have begun are done: another server may then have the folder."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join()

    def _carry(self) -> None:
        while not self._closed:
            began = time.monotonic()
            try:
                self._turn()
            except Exception as error:  # one job's broken folder must not stop the others
                say(f"the carrier of jobs has failed and goes on: {type(error).__name__}: {error}")
            self._wake.wait(max(0.0, _TURN_S - (time.monotonic() - began)))
            self._wake.clear()

    def _turn(self) -> None:
        self._files.remove_expired()
        self._steps.here.reap()
        if time.monotonic() - self._looked >= self._look_s:
            self._looked = time.monotonic()
            if watched := self._at("watch", "stopping"):
                self._watch.look(watched)
        for row in self._at("start"):
            self._take(row, self._steps.start)
        for row in self._next():
            self._take(row, self._steps.plan if row["stage"] == "plan" else self._steps.go_on)
        for row in self._unchecked():
            self._take(row, self._steps.check)

    def _at(self, *stages: str) -> list[Row]:
        marks = ", ".join("?" * len(stages))
        return self._store.rows(f"SELECT * FROM jobs WHERE stage IN ({marks}) ORDER BY number", *stages)

    def _next(self) -> list[Row]:
        """The waiting jobs for which there is room: those of tenants with the fewest active jobs first, then the oldest."""
        with self._lock:
            busy = dict(self._busy)
        skipped = self._skipped()
        planned = sum(stage in ("plan", "stopped") for stage in busy.values())
        # no more than the threads can take: who is next is decided when a thread is free
        free = min(self._at_once - len(self._at(*_ACTIVE)) - planned, _THREADS - planned)
        if free <= 0:
            return []
        marks = ", ".join("?" * len(_ACTIVE))
        rows = self._store.rows(
            f"""SELECT * FROM (
                SELECT jobs.*, ROW_NUMBER() OVER (PARTITION BY tenant ORDER BY number) + (
                    SELECT COUNT(*) FROM jobs AS other WHERE other.tenant = jobs.tenant AND other.stage IN ({marks})
                ) AS place FROM jobs WHERE stage IN ('plan', 'stopped') AND wish = 'run'
            ) ORDER BY place, number LIMIT ?""",
            *_ACTIVE,
            free + len(skipped),
        )
        return [row for row in rows if row["id"] not in skipped][:free]

    def _unchecked(self) -> list[Row]:
        """The oldest jobs whose files are to be checked now."""
        skipped = self._skipped()
        rows = self._store.rows(
            "SELECT * FROM jobs WHERE stage = 'check' AND wish = 'run' ORDER BY number LIMIT ?",
            2 * _THREADS + len(skipped),
        )
        return [row for row in rows if row["id"] not in skipped][: 2 * _THREADS]

    def _skipped(self) -> set[str]:
        """The jobs that take no step now: a thread works on them, or their last step has failed and is tried again later."""
        moment = time.monotonic()
        with self._lock:
            return {*self._busy, *(job for job, until in self._later.items() if until > moment)}

    def _take(self, row: Row, step: Callable[[Row], None]) -> None:
        if row["id"] in self._skipped() or self._closed:
            return
        with self._lock:
            self._busy[row["id"]] = row["stage"]
        with contextlib.suppress(RuntimeError):  # the pool was closed meanwhile
            self._pool.submit(self._run, row, step)

    def _run(self, row: Row, step: Callable[[Row], None]) -> None:
        try:
            newest = self._store.row("SELECT * FROM jobs WHERE id = ?", row["id"])
            if newest is not None and newest["stage"] == row["stage"]:  # else the step was taken meanwhile
                step(newest)
            if self._tries.pop(row["id"], None):
                self._went_on(row)
            with self._lock:
                self._later.pop(row["id"], None)
        except Exception as error:
            self._failed(row, error)
        finally:
            with self._lock:
                self._busy.pop(row["id"], None)
            self.wake()

    def _failed(self, row: Row, error: Exception) -> None:
        """Decides when the step is tried again, longer each time while its reason may pass, and tells the job's events.

        A job whose step has failed too often for another reason fails. Only a reason of the cluster is told to clients; the
        log has all.
        """
        newest = self._store.row("SELECT stage FROM jobs WHERE id = ?", row["id"])
        if newest is None or newest["stage"] != row["stage"]:  # it was cancelled meanwhile
            return
        said = f"{type(error).__name__}: {error}"
        tries = self._tries[row["id"]] = self._tries.get(row["id"], 0) + 1
        is_certain = not isinstance(error, (LauncherError, OSError)) or isinstance(error, CallFailed)
        if is_certain and tries >= _MOST_TRIES:
            say(f"{row['id']}: stage {row['stage']} has failed {tries} times: {said}")
            self._steps.fail(
                row, "server_error", "The server could not carry the job; its log has the reason"
            )
            with self._lock:
                self._later.pop(row["id"], None)
            del self._tries[row["id"]]
            return
        longest_s = max(_LONGEST_S, self._again_s)
        wait_s = self._again_s if is_certain else min(self._again_s * 2 ** min(tries - 1, 20), longest_s)
        say(f"{row['id']}: stage {row['stage']} failed and is tried again in {wait_s:g} s: {said}")
        with self._lock:
            self._later[row["id"]] = time.monotonic() + wait_s
        who = "cluster cannot take" if isinstance(error, ClusterError) else "server cannot carry"
        why = f": {self._steps.hide(error, row['id'])}" if isinstance(error, ClusterError) else ""
        if wait_s < longest_s or tries == 1:  # later ones would only repeat it, every few minutes
            self._tell(row, f"The {who} the job now; it is tried again in {wait_s:g} s{why}", "warn")

    def _went_on(self, row: Row) -> None:
        """Tells the job's events that its step has succeeded after all."""
        newest = self._store.row("SELECT stage FROM jobs WHERE id = ?", row["id"])
        if newest is not None and newest["stage"] not in (row["stage"], "over"):
            self._tell(row, "The job goes on")

    def _tell(self, row: Row, message: str, level: str = "info") -> None:
        with self._store.change() as db:
            add_event(db, row["id"], f"again:{time.time_ns()}", message, level)
