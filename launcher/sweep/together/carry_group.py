"""A group of trials on its worker: one job script for all, and for each trial what a supervisor of its own would do.

The group's folder, groups/N in the sweep, is the run dir of the job: its supervisor starts the rank again after a fault and
queues the job again. The worker writes to each trial's own run dir how the attempts begin and end, decides by the supervisor's
policy what follows when one trial fails alone, and gives a free lane to the next trial.
"""

import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any, Protocol

from launcher.clusters.registry import find_cluster
from launcher.errors import AlreadyRunning, Exit, LauncherError
from launcher.output import say
from launcher.processes import death_with_parent, exit_code
from launcher.run import RunDir, now
from launcher.run.events import EventReader
from launcher.run.events.supervisor import Ended, Requeued, Started, Stopped, Told
from launcher.run.lanes import GroupOrders, read_end, write_orders
from launcher.run.script import start_script
from launcher.supervise.children import StopSignal
from launcher.supervise.lease import Lease
from launcher.supervise.place import holder_lives, who
from launcher.sweep import claims
from launcher.sweep.carry import write_trial
from launcher.sweep.folder import SweepDir
from launcher.sweep.outcome import CANCELLED, FAILED, ended_before, settle
from launcher.sweep.take import Taker
from launcher.sweep.together.trial_lane import TrialLane

_POLL_S = 0.1
_LOOK_S = 0.5
"""Seconds between two reads of what the trials report."""


class GroupWorker(Protocol):
    """What a worker of a sweep gives to the groups that it carries."""

    sweep: SweepDir
    spec: dict[str, Any]
    stopped: StopSignal
    study: Any
    taker: Taker

    @property
    def planned(self) -> Mapping[int, Mapping[str, Any]]:
        """The lines of the planned trials, by their numbers."""
        ...

    def values(self, number: int) -> tuple[list[str], Any]:
        """The overrides of a trial, and the study's trial if there is a study."""
        ...

    def end(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Writes the outcome of a trial, and tells the study."""
        ...

    def must_end(self) -> bool:
        """Whether the sweep was cancelled."""
        ...


class GroupCarrier:
    """Carries one group to its end."""

    def __init__(self, worker: GroupWorker, first: int, key: str) -> None:
        """`first`: the trial for which the group is begun; `key`: equal for all trials that may join it."""
        self.worker, self.sweep, self.spec = worker, worker.sweep, worker.spec
        self.key, self.first = key, first
        self.group = RunDir(self.sweep.path / "groups" / str(first))
        self.cluster = find_cluster(self.spec["cluster"])
        self.lanes: dict[int, TrialLane] = {}
        self.most = int(self.spec["together"]["trials"])
        self._more = True
        self._attempt = 0
        self._told: GroupOrders | None = None
        self._looked = 0.0
        self._events: EventReader[Any] = EventReader(
            self.group.events, Started, Told, Ended, Requeued, Stopped
        )

    def carry(self) -> int:
        """The exit code of the group's job script; 0 if it was not needed."""
        if not self._admit(self.first):
            return Exit.OK
        try:
            typed, _ = self.worker.values(self.first)
            write_trial(self.sweep, self.spec, self.first, typed, None, into=self.group)
            self._events.read()  # those of an earlier job
            write_orders(self.group, GroupOrders(attempt=0))  # makes the run dir that of a group
            self._fill()
            child = start_script(self.group, death_with_parent())
            passed = 0
            while child.poll() is None:
                passed = self._pass_on(child, passed)
                self._follow()
                self._look()
                self._fill()
                self._tell()
                time.sleep(_POLL_S)
            self._look()
            self._follow()
            return self._close(exit_code(child.returncode))
        finally:
            for lane in self.lanes.values():
                lane.lease.release()

    def _pass_on(self, child: "subprocess.Popen[bytes]", passed: int) -> int:
        """The number of signals that the script has got."""
        stopped = self.worker.stopped
        wanted = int(stopped.signal is not None or self.worker.must_end()) + int(stopped.again)
        if wanted > passed:
            child.send_signal(stopped.signal or signal.SIGTERM)
        return max(wanted, passed)

    def _fill(self) -> None:
        """Gives free lanes to trials: those that this worker had before it was queued again, then unclaimed ones."""
        while self._more and len(self.lanes) < self.most:
            if self.worker.stopped.signal or self.worker.must_end():
                return
            own = [
                number
                for number in claims.own(self.sweep, self.worker.taker.worker)
                if number not in self.lanes
            ]
            number = own[0] if own else self.worker.taker.next_of(self.key)
            if number is None:
                self._more = False
            else:
                self._admit(number)

    def _admit(self, number: int) -> bool:
        """Whether the trial trains in this group from now on."""
        began = now()
        if (why := self.worker.taker.too_late(number)) is not None:
            self.worker.end(number, ended_before(CANCELLED, why, began))
            return False
        try:
            typed, trial = self.worker.values(number)
            run = write_trial(self.sweep, self.spec, number, typed, self.worker.planned.get(number))
            lease = Lease(run, who(self.cluster))
            lease.take(lambda holder: holder_lives(self.cluster, holder))
        except AlreadyRunning as error:
            say(f"trial {number}: {error}")
            claims.give_up(self.sweep, number)
            self._more = False
            return False
        except LauncherError as error:
            say(f"trial {number}: {error}")
            self.worker.end(number, ended_before(FAILED, str(error), began))
            return False
        lease.watch()
        lane = self.lanes[number] = TrialLane.of(number, run, lease, self.spec["objective"], trial)
        lane.share(self.group, self.most)
        say(f"trial {number}: trains in {self.group.path}")
        if self._attempt:
            lane.begin(self.group)
        return True

    def _follow(self) -> None:
        """Tells every trial what happened to the job."""
        for event in self._events.read():
            if isinstance(event, Started):
                self._attempt = event.attempt
                for lane in self.lanes.values():
                    lane.begin(self.group)
                continue
            self._look_for_ends()  # first, so that a trial that ended before is not counted among the others
            if isinstance(event, Ended | Stopped | Requeued):
                self._attempt = 0
            for lane in self.lanes.values():
                if lane.attempt:
                    lane.run.note(event.in_attempt(lane.attempt))

    def _look(self) -> None:
        """Looks for trials that ended, that a person has cancelled, or that the study prunes."""
        self._look_for_ends()
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        for lane in self.lanes.values():
            for saved in lane.look(self.worker.study):
                self.group.note(saved.in_attempt(self._attempt))  # the group makes progress

    def _look_for_ends(self) -> None:
        for lane in list(self.lanes.values()):
            end = read_end(self.group, lane.number, lane.attempt) if lane.attempt else None
            if end is not None and lane.record_end(self.group, end):
                self._over(lane, f"the trial ended ({end.how}) without a reason")

    def _over(self, lane: TrialLane, reason: str) -> None:
        """Gives the lane up, after the trial is over."""
        lane.lease.release()
        del self.lanes[lane.number]
        outcome = settle(self.sweep, lane.number, self.spec["objective"])
        self.worker.end(lane.number, outcome or ended_before(FAILED, reason, now()))

    def _tell(self) -> None:
        """Writes the rank's orders, if they have changed."""
        if not self._attempt:
            return
        lanes = tuple(lane.as_order() for lane in self.lanes.values())
        stays = self._more and not self.worker.stopped.signal and not self.worker.must_end()
        order = GroupOrders(
            attempt=self._attempt, lanes=lanes, more=stays, mixed=bool(self.spec["together"]["mixed"])
        )
        if order != self._told:
            write_orders(self.group, order)
            self._told = order

    def _close(self, code: int) -> int:
        """The exit code of the worker's group. The trials that trained at the end go on in another job, or are over."""
        if code in (Exit.REQUEUED, Exit.ALREADY_RUNNING):
            return code
        for lane in list(self.lanes.values()):
            self._over(
                lane, f"the group ended with exit code {code} and gave no reason; see {self.group.logs}"
            )
        return code
