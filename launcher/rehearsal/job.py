"""The rehearsal's run as a real job: it is started, disturbed and ended, and its events are awaited."""

import json
import signal
import subprocess
import time
from typing import TypeVar

from launcher.clusters.base import Cluster
from launcher.clusters.submission import submitted
from launcher.errors import ClusterError
from launcher.launching.launch import start_here
from launcher.output import say
from launcher.plan import LaunchPlan
from launcher.run import RunDir, write_text
from launcher.run.events import Event
from launcher.run.events.base import How
from launcher.run.events.launching import Submitted
from launcher.run.events.supervisor import Ended, Finished, Requeued, Started, Stopped
from launcher.run.history import HistoryReader
from launcher.status.state import is_over

KILL_FILE = "kill.json"
"""The file in the run dir that tells a rank to kill itself; launcher.plugins.rehearsal looks for it."""
_POLL_S = 0.3
_QUERY_S = 10.0
"""Seconds between two queries to the cluster whether the job exists."""
_GONE_S = 120.0

E = TypeVar("E", bound=Event)


class Failed(Exception):
    """An expected event did not occur."""


class RehearsedJob:
    """The rehearsal's run, and the ways to disturb it."""

    def __init__(self, run: RunDir, cluster: Cluster, patience_s: float) -> None:
        self.run, self.cluster, self.patience_s = run, cluster, patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._queried = 0.0
        self._history = HistoryReader(run, metrics=False)

    def start(self) -> None:
        """Submits the run, or starts it on this machine."""
        if self.cluster.queued:
            with submitted(self.cluster, self.run):
                pass
        else:
            self._process = start_here(self.run, self.cluster)

    def kill_rank(self, rank: int) -> None:
        """Has a rank kill itself at its next step."""
        write_text(self.run.path / KILL_FILE, json.dumps({"rank": rank}) + "\n")

    def warn_of_time_limit(self, mark: int) -> tuple[Ended, int]:
        """The end of the ranks after the warning, and the index of the next attempt's first event. Without a queue, this
        method starts the run again itself."""
        if self.cluster.queued:
            self.cluster.signal(self._id(), "USR1", batch_only=True)
            return self.wait_for_shutdown(mark), mark
        self._here().send_signal(signal.SIGUSR1)
        ended = self.wait_for_shutdown(mark)
        self.wait(Stopped, mark, "the end of the job", may_stop=True)
        self.wait_until_gone()
        mark = self.mark()
        self.start()
        return ended, mark

    def requeue(self, plan: LaunchPlan) -> bool:
        """Tells the cluster to queue the job again; False if that is not allowed."""
        if not self.cluster.may_requeue(plan.job_options):
            return False
        self.cluster.requeue(self._id())
        return True

    def cancel(self) -> None:
        """Cancels the job."""
        if self.cluster.queued:
            self.cluster.cancel(self._id())
        else:
            self._here().send_signal(signal.SIGTERM)  # only to the run: the allocation is the user's session

    def wait_until_gone(self) -> None:
        """Raises Failed if the job still exists after a while."""
        deadline = time.monotonic() + _GONE_S
        while self.lives():
            if time.monotonic() > deadline:
                raise Failed(f"the run has ended, but its job still exists after {_GONE_S:g} s")
            time.sleep(_POLL_S)

    def wait_for_shutdown(self, mark: int) -> Ended:
        """The end of the ranks; Failed unless they saved and shut down."""
        ended = self.wait(Ended, mark, "the ranks' end", may_stop=True)
        if ended.how != How.SHUT_DOWN.value:
            raise Failed(f"the ranks did not save and shut down: {ended.how}, {ended.reason}")
        return ended

    def wait(
        self, kind: type[E], mark: int, what: str, *, attempt: int | None = None, may_stop: bool = False
    ) -> E:
        """The first event of that kind after `mark`; Failed after the timeout. Time in the queue does not count."""
        deadline = time.monotonic() + self.patience_s
        while True:
            events = self._events()
            for event in events[mark:]:
                if isinstance(event, kind) and attempt in (None, event.attempt):
                    return event
                if isinstance(event, Stopped | Finished) and not may_stop:
                    raise Failed(
                        f"the run ended: {event.reason if isinstance(event, Stopped) else event.kind}"
                    )
            moment = time.monotonic()
            if self._queued(events):
                deadline = moment + self.patience_s
            if moment > deadline:
                raise Failed(f"{what} did not occur within {self.patience_s:g} s")
            if moment - self._queried > _QUERY_S:
                self._queried = moment
                gone, events = not self.lives(), self._events()
                if gone and not any(isinstance(event, kind) for event in events[mark:]):
                    raise Failed(f"its job is gone, and {what} did not occur")
            time.sleep(_POLL_S)

    def mark(self) -> int:
        """The number of events so far: later events come after it."""
        return len(self._events())

    def jobs(self) -> list[str]:
        """Ids of all jobs that the run has had."""
        return [event.job_id for event in self.run.read_events(Submitted)]

    def lives(self) -> bool:
        """Whether the cluster still has the job."""
        if self._process is not None:
            return self._process.poll() is None
        if not self.run.job.exists():
            return False
        state = self.cluster.state(self._id())
        return state is None or not is_over(state)

    def end_for_good(self) -> None:
        """Ends the job, whatever happened before; says so if that is not possible."""
        try:
            if self.lives():
                self.cancel()
            if self._process is not None:
                self._process.wait(_GONE_S)
        except (ClusterError, subprocess.TimeoutExpired) as error:
            say(
                f"{self.run.name}: its job could not be ended ({error}); type python -m launcher cancel {self.run.name}"
            )

    def _events(self) -> list[Event]:
        """The run's events so far."""
        return self._history.read().events

    def _queued(self, events: list[Event]) -> bool:
        """Whether its job waits in the queue, by the last event in the run dir."""
        if not self.cluster.queued:
            return False
        last = [event for event in events if isinstance(event, Started | Submitted | Requeued)]
        return bool(last) and not isinstance(last[-1], Started)

    def _id(self) -> str:
        """The id of its newest job."""
        return str(self.run.read_json(self.run.job)["job_id"])

    def _here(self) -> subprocess.Popen[bytes]:
        assert self._process
        return self._process
