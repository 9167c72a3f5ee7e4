"""The tracker in addition to metrics.jsonl, on rank 0. Training never waits for it, and its errors never end a run."""

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from launcher.config import Config
from launcher.packages import missing
from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.run.events import ranks
from launcher.trackers.base import Log, Tracker, TrackingStart
from launcher.trackers.describe import describe
from launcher.trackers.registry import TRACKERS

_LONGEST_QUEUE = 10_000
"""Number of logged steps that can wait for a slow tracker; further steps are dropped and counted."""
_FINISH_S, _SHUTDOWN_S = 20.0, 2.0
"""Seconds that the end of a run waits for the tracker: after training, and at a shutdown before a kill."""
_SHOWN = 300


class RankTracking:
    """The use of the tracker on one rank."""

    def __init__(self, run: RunDir, config: Config, plan: LaunchPlan, attempt: int, *, is_main: bool) -> None:
        """Starts a tracker with a transformers callback within a bounded time; other trackers start in a separate thread."""
        self._tracker: Tracker = TRACKERS.find(config.tracker.kind)
        self._is_main = is_main
        self.callback: Background | None = None
        """Logs to a tracker for which transformers has no callback."""
        lacking = missing(self._tracker.packages)
        self.reports = not lacking
        """Whether transformers' callback for the tracker can be used."""

        def tell(started: TrackingStart) -> None:
            facts = {"id": started.id, "group": tracked.group}
            run.note(
                ranks.Tracking(
                    attempt=attempt, tracker=config.tracker.kind, mode=started.mode, why=started.why, **facts
                )
            )

        tracked = describe(
            run.path,
            run.name,
            config,
            attempt,
            planned_dir=plan.facts.run_dir,
            method=plan.trainer,
            arguments=plan.trainer_args,
        )
        if not is_main:
            return
        if lacking:
            why = f"{lacking[0].name} is not installed on this node; {lacking[0].install} there"
            print(f"launcher: warning: nothing is tracked: {why}", flush=True)
            tell(TrackingStart(mode="failed", why=why))
        elif self._tracker.report_to is not None:
            environ: Any = os.environ
            if (started := self._tracker.prepare(tracked, environ)) is not None:
                tell(started)
        else:
            self.callback = Background(lambda: self._tracker.open(tracked, os.environ), tell)

    def finish(self, *, shutdown: bool = False) -> None:
        """Flushes the tracker; at a shutdown, only what the thread of a callback can write within two seconds."""
        if self.callback is not None:
            self.callback.finish(_SHUTDOWN_S if shutdown else _FINISH_S)
        elif self._is_main and self.reports and not shutdown:
            self._tracker.finish()


class Background(TrainerCallback):
    """Passes logged values to the log of a tracker in a separate thread."""

    def __init__(self, open_log: Callable[[], Log], tell: Callable[[TrackingStart], None]) -> None:
        """`tell` is called with how tracking began, and at the end with what was lost."""
        self._open, self._tell = open_log, tell
        self._waiting: queue.Queue[tuple[int, dict[str, float], float] | None] = queue.Queue(_LONGEST_QUEUE)
        self._logged = self._written = 0
        self._why: str | None = None
        self._opened = False
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Puts the numbers of a logged step into the queue."""
        values = {
            name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)
        }
        self._logged += 1
        try:
            self._waiting.put_nowait((state.global_step, values, time.time()))
        except queue.Full:
            self._lose("the tracker is slower than the training")

    def finish(self, within_s: float) -> None:
        """Waits at most `within_s` seconds for queued values, and reports those that were not written."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._lose("the tracker is slower than the training")
        self._thread.join(within_s)
        is_late, lost = self._thread.is_alive(), self._logged - self._written
        if is_late and self._why is None:
            what = "finish" if self._opened else "start"
            self._why = f"the tracker did not {what} within {within_s:g} s"
        if is_late or (self._opened and lost):
            why = f"{lost} of {self._logged} logged steps were not written: {self._why}"
            self._tell(TrackingStart(mode="failed", why=why))

    def _work(self) -> None:
        try:
            log = self._open()
        except (
            Exception
        ) as error:  # the library of a tracker can raise anything; the run continues without it
            self._why = _message_of(error)
            self._tell(TrackingStart(mode="failed", why=self._why))
            return
        self._opened = True
        self._tell(log.started)
        while (item := self._waiting.get()) is not None:
            try:
                log.write(*item)
                self._written += 1
            except Exception as error:  # as above; writing the next step may succeed
                self._lose(_message_of(error))
        try:
            log.finish()
        except Exception as error:  # as above
            self._lose(_message_of(error))

    def _lose(self, why: str) -> None:
        self._why = self._why or why


def _message_of(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:_SHOWN]
