"""What is done to a rehearsal's run, and what must then come: each check hits it for real and waits for a new checkpoint."""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from launcher.clusters.allocation import Allocation
from launcher.clusters.local import Local
from launcher.clusters.slurm import Slurm
from launcher.clusters.submission import submitted
from launcher.errors import ClusterError
from launcher.plan import LaunchPlan
from launcher.run import RunDir, write_text
from launcher.run.events import Event
from launcher.run.events.checkpoints import Resumed, Saved, Stepping
from launcher.run.events.launching import Submitted
from launcher.run.events.supervisor import Ended, Finished, Requeued, Started, Stopped
from launcher.status.state import is_over

ASKED = "kill.json"
"""The file in the run dir by which a rank is asked to kill itself; launcher.plugins.rehearsal looks for it."""
_POLL_S = 0.3
_ASK_S = 10.0
_GONE_S = 120.0

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's outcome."""

    name: str
    passed: bool | None
    """None: this place cannot do it."""
    seconds: float
    said: str

    def line(self) -> str:
        """For a person."""
        word = {True: "pass", False: "FAIL", None: "left out"}[self.passed]
        return f"{word:<10}{self.name:<12}{self.seconds:7.1f} s  {self.said}"

    def to_dict(self) -> dict[str, Any]:
        """For a machine."""
        return asdict(self)


class Failed(Exception):
    """What should have come did not."""


class Rehearsed:
    """One rehearsal."""

    def __init__(
        self,
        run: RunDir,
        plan: LaunchPlan,
        cluster: Slurm | Local,
        patience_s: float,
        tell: Callable[[Check], None],
    ) -> None:
        self.run, self.plan, self.cluster = run, plan, cluster
        self.patience_s, self._tell = patience_s, tell
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0.0

    def carry(self) -> list[Check]:
        """All checks, each told as it ends; the run is over afterwards."""
        checks: list[Check] = []
        try:
            for name, check in (
                ("start", self._starts),
                ("kill", self._survives_a_kill),
                ("time limit", self._survives_the_time_limit),
                ("requeue", self._survives_a_requeue),
                ("cancel", self._ends),
            ):
                begun = time.monotonic()
                passed, said = self._outcome(check, checks)
                checks.append(
                    Check(name=name, passed=passed, seconds=round(time.monotonic() - begun, 2), said=said)
                )
                self._tell(checks[-1])
        finally:
            self._end_for_good()
        return checks

    def _outcome(self, check: Callable[[], str | None], before: list[Check]) -> tuple[bool | None, str]:
        if before and not self._lives():
            return False, "the run had ended before it"
        try:
            said = check()
        except (Failed, ClusterError) as error:
            return False, str(error)
        return (
            (None, "it needs a job in Slurm's queue that may be requeued") if said is None else (True, said)
        )

    def _starts(self) -> str:
        if isinstance(self.cluster, Slurm):
            with submitted(self.cluster, self.run):
                pass
        else:
            self._start_here()
        saved = self._wait(Saved, 0, "a checkpoint")
        return f"training, and saved at step {saved.step}"

    def _survives_a_kill(self) -> str:
        mark, jobs = self._mark(), self._jobs()
        rank = self.plan.topology.world_size - 1
        write_text(self.run.path / ASKED, json.dumps({"rank": rank}) + "\n")
        ended = self._wait(Ended, mark, "the end of the killed rank")
        if ended.how != "crashed":
            raise Failed(f"rank {rank} was killed, and the attempt ended as {ended.how}: {ended.reason}")
        said = self._goes_on(mark, ended)
        if self._jobs() != jobs:
            said += "; in another job, since a node was given up"
        return f"rank {rank} killed; {said}"

    def _survives_the_time_limit(self) -> str:
        mark = self._mark()
        if isinstance(self.cluster, Slurm):
            self.cluster.signal_batch(self._job(), "USR1")
            ended = self._left(mark)
        else:
            self._here().send_signal(signal.SIGUSR1)
            ended = self._left(mark)
            self._wait(Stopped, mark, "the end of the job", may_stop=True)
            self._here().wait(self.patience_s)
            mark = self._mark()
            self._start_here()
        return f"told that its time is up; {self._goes_on(mark, ended)}"

    def _survives_a_requeue(self) -> str | None:
        if not isinstance(self.cluster, Slurm) or "no-requeue" in self.plan.sbatch:
            return None
        mark = self._mark()
        self.cluster.requeue(self._job())
        return f"requeued; {self._goes_on(mark, self._left(mark))}"

    def _ends(self) -> str:
        mark = self._mark()
        self._cancel()
        self._wait(Stopped, mark, "its end", may_stop=True)
        saved = [event.step for event in self.run.read_events()[mark:] if isinstance(event, Saved)]
        deadline = time.monotonic() + _GONE_S
        while self._lives():
            if time.monotonic() > deadline:
                raise Failed(f"the job was cancelled, and is still there after {_GONE_S:g} s")
            time.sleep(_POLL_S)
        return (
            f"cancelled; saved at step {saved[-1]}, and nothing is queued"
            if saved
            else "cancelled, without a save"
        )

    def _left(self, mark: int) -> Ended:
        """The end of the ranks, who must have saved."""
        ended = self._wait(Ended, mark, "the ranks' end", may_stop=True)
        if ended.how != "left":
            raise Failed(f"the ranks did not save and leave: {ended.how}, {ended.reason}")
        return ended

    def _goes_on(self, mark: int, ended: Ended) -> str:
        """Waits for a checkpoint of the next attempt, which must have begun where the one that ended had saved."""
        before = max(event.step for event in self.run.read_events(Saved) if event.attempt <= ended.attempt)
        resumed = self._wait(Resumed, mark, "the next attempt")
        saved = self._wait(Saved, mark, "a new checkpoint", attempt=resumed.attempt)
        if resumed.step != before:
            raise Failed(f"it went on from step {resumed.step}, and had saved step {before}")
        stepping = next(
            (event for event in self.run.read_events(Stepping) if event.attempt == resumed.attempt),
            None,
        )
        took = f" after {stepping.restart_s:.1f} s" if stepping else ""
        return f"went on from step {before}{took}, and saved at step {saved.step}"

    def _wait(
        self, kind: type[E], mark: int, what: str, *, attempt: int | None = None, may_stop: bool = False
    ) -> E:
        """The first event of that name after `mark`; Failed where it does not come. Waiting in the queue takes no patience."""
        deadline = time.monotonic() + self.patience_s
        while True:
            events = self.run.read_events()
            for event in events[mark:]:
                if isinstance(event, kind) and attempt in (None, event.attempt):
                    return event
                if isinstance(event, Stopped | Finished) and not may_stop:
                    raise Failed(f"it ended: {event.reason if isinstance(event, Stopped) else 'finished'}")
            moment = time.monotonic()
            if self._queued(events):
                deadline = moment + self.patience_s
            if moment > deadline:
                raise Failed(f"{what} did not come within {self.patience_s:g} s")
            if moment - self._asked > _ASK_S:
                self._asked = moment
                gone, events = not self._lives(), self.run.read_events()
                if gone and not any(isinstance(event, kind) for event in events[mark:]):
                    raise Failed(f"its job is gone, and {what} did not come")
            time.sleep(_POLL_S)

    def _mark(self) -> int:
        """What happens from now on comes behind it."""
        return len(self.run.read_events())

    def _queued(self, events: list[Event]) -> bool:
        """Whether its job waits in the queue, by what the run dir says last."""
        if not isinstance(self.cluster, Slurm):
            return False
        last = [event for event in events if isinstance(event, Started | Submitted | Requeued)]
        return bool(last) and not isinstance(last[-1], Started)

    def _lives(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        if not self.run.job.exists():
            return False
        state = self.cluster.state(self._job())
        return state is None or not is_over(state)

    def _job(self) -> str:
        """The id of its newest job."""
        return str(self.run.read_json(self.run.job)["job_id"])

    def _jobs(self) -> list[str]:
        return [event.job_id for event in self.run.read_events(Submitted)]

    def _here(self) -> subprocess.Popen[bytes]:
        assert self._process
        return self._process

    def _start_here(self) -> None:
        assert not isinstance(self.cluster, Slurm)
        self._process = self.cluster.start(self.run)
        if isinstance(self.cluster, Allocation):
            self.run.note_job("allocation", self.cluster.job_id)
        else:
            self.run.note_job("local", str(self._process.pid))

    def _cancel(self) -> None:
        if isinstance(self.cluster, Slurm):
            self.cluster.cancel(self._job())
        else:
            self._here().send_signal(signal.SIGTERM)  # and not the allocation, in which a person works

    def _end_for_good(self) -> None:
        """Whatever happened, nothing of it stays."""
        with contextlib.suppress(ClusterError):
            if self._lives():
                self._cancel()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GONE_S)
