"""One trial of a group, on the worker: how its attempts begin and end, as a supervisor of its own would record it."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from launcher.errors import Exit
from launcher.output import say
from launcher.run import RunDir, now, write_text
from launcher.run.events import EventReader
from launcher.run.events.base import How, StopReason
from launcher.run.events.checkpoints import Saved
from launcher.run.events.launching import Cancelled
from launcher.run.events.supervisor import Ended, Finished, Pruned, Started, Stopped
from launcher.run.history import HistoryReader
from launcher.run.lanes import CANCEL, PRUNE, TRAIN, LaneEnd, LaneOrder
from launcher.run.totals import faults
from launcher.supervise import policy
from launcher.supervise.lease import Lease
from launcher.supervise.policy import Capacity, Do, EndedAttempt
from launcher.sweep.outcome import Reports

_CAPACITY = Capacity(can_requeue=False, healthy_nodes=1, needed_nodes=1)
"""A trial that fails alone can only begin again in its lane: its job is not queued again for it."""


@dataclass(kw_only=True)
class TrialLane:
    """A trial that trains in a group."""

    number: int
    run: RunDir
    lease: Lease
    reports: Reports
    events: EventReader[Any]
    """Its checkpoints, and requests to cancel it."""
    history: HistoryReader
    trial: Any
    """The study's trial; None without a study."""
    attempt: int = 0
    """Its present attempt; 0 before the first in this group."""
    order: str = TRAIN
    """What the rank shall do with it."""
    _begun: float = 0.0
    _seen: int = -1
    _since: str = field(default_factory=now)

    @classmethod
    def of(cls, number: int, run: RunDir, lease: Lease, objective: str, trial: Any) -> "TrialLane":
        """The lane of a trial whose lease is held."""
        events: EventReader[Any] = EventReader(run.events, Saved, Cancelled)
        events.read()  # passes over the events from before the group
        return cls(
            number=number, run=run, lease=lease, reports=Reports(run, objective), events=events,
            history=HistoryReader(run, metrics=False), trial=trial,
        )  # fmt: skip

    def as_order(self) -> LaneOrder:
        """What the rank of the group shall do with it."""
        return LaneOrder(
            number=self.number, run=str(self.run.path), attempt=self.attempt, lease=self.lease.nonce, order=self.order
        )  # fmt: skip

    def share(self, group: RunDir, trials: int) -> None:
        """Notes in the run dir that its job trains other trials too."""
        write_text(self.run.together, json.dumps({"group": str(group.path), "trials": trials}) + "\n")

    def begin(self, group: RunDir) -> None:
        """Begins an attempt, within that of the group."""
        job = group.read_json(group.job)
        self.run.note_job(str(job["cluster"]), str(job["job_id"]), job.get("started"))
        self.attempt, self._begun = self.run.attempts() + 1, time.monotonic()
        self.run.note(group.read_events(Started)[-1].in_attempt(self.attempt))

    def look(self, study: Any) -> list[Saved]:
        """Its new checkpoints; what the rank shall do with it changes if a person has cancelled it, or the study prunes it."""
        found = self.events.read()
        if self.order == TRAIN and any(
            isinstance(one, Cancelled) and one.time >= self._since for one in found
        ):
            self.order = CANCEL
        reported = self.reports.read()
        if study and len(reported) != self._seen and self.order == TRAIN:
            self._seen = len(reported)
            if study.should_prune(self.trial, reported):
                self.order = PRUNE
        return [one for one in found if isinstance(one, Saved)]

    def record_end(self, group: RunDir, end: LaneEnd) -> bool:
        """Whether the trial is over, after the end of its attempt is recorded; otherwise another attempt has begun."""
        attempt, how = self.attempt, How(end.how)
        if how is How.FINISHED:
            self.run.note(Finished(attempt=attempt))
            return True
        crashed = how is How.CRASHED
        told = {PRUNE: StopReason.PRUNED, CANCEL: StopReason.CANCELLED}.get(self.order, StopReason.NOTHING)
        self.run.note(
            Ended(
                attempt=attempt, how=how.value, exit_code=end.exit_code, reason=end.reason or told.value,
                told=StopReason.NOTHING.value if crashed else told.value, seconds=round(time.monotonic() - self._begun, 2),
            )
        )  # fmt: skip
        if crashed:
            ended = EndedAttempt(how=how, code=end.exit_code, reason=end.reason)
            action = policy.decide(ended, faults(self.history.read()), _CAPACITY)
            if action.do is Do.RESTART:
                say(f"trial {self.number}: {end.reason}; it begins again from its newest checkpoint")
                self.begin(group)
                return False
            self.run.note(Stopped(attempt=attempt, exit_code=int(action.code), reason=action.reason))
        elif told is StopReason.PRUNED:
            self.run.note(Pruned(attempt=attempt))
        else:
            self.run.note(Stopped(attempt=attempt, exit_code=int(Exit.TERMINATED), reason=told.value))
        return True
