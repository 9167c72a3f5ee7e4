"""How an agent watches its supervisor: by its messages, and by its heartbeat on the file system."""

import contextlib
import os
import signal
import time

from launcher.output import say
from launcher.run import RunDir
from launcher.supervise.connection import ConnectionClosed
from launcher.supervise.leader_file import read_leader
from launcher.supervise.lease import newest_heartbeat
from launcher.supervise.succession import LeaderState, Signs
from launcher.timeouts import LEADER_STOPPED_S, SUPERVISOR_LOST_S

_LOOK_S = 0.5
"""Seconds between two looks at a supervisor that is silent."""
_GAP_S = 1.0
"""Seconds between two checks after which this process was stopped itself."""


class Silent(ConnectionClosed):
    """The connection is open, but nothing comes."""


class LeaderWatch:
    """The watch over the supervisor that this agent obeys."""

    def __init__(self, run: RunDir, first: str, host: str, *, succeeds: bool) -> None:
        """`first`: the nonce of the job's first supervisor. `host`: of this agent. `succeeds`: whether another supervisor can
        take over; if not, only messages count."""
        self._run, self._first, self._host, self._succeeds = run, first, host, succeeds
        self.signs = Signs(heard=time.monotonic())
        self._next_look = 0.0

    def begin(self) -> None:
        """Starts with a new supervisor."""
        self.signs = Signs(heard=time.monotonic())

    def check(self, *, spoke: bool) -> None:
        """Silent if the supervisor is lost. `spoke`: whether it has sent something since the last call."""
        moment = time.monotonic()
        self.signs.awake(moment, _GAP_S)
        if spoke:
            self.signs.message(moment)
            return
        quiet_s = moment - self.signs.heard
        if self._succeeds and quiet_s > LEADER_STOPPED_S and moment > self._next_look:
            self._next_look = moment + _LOOK_S
            self._continue_stopped()
            if self.signs.state(moment) is not LeaderState.LIVES:
                self.signs.look(moment, newest_heartbeat(self._run))
        state = self.signs.state(moment)
        if state is LeaderState.DEAD:
            raise Silent(f"it has sent nothing for {quiet_s:.1f} s, and its heartbeat stands still")
        if state is LeaderState.CUT_OFF:
            raise Silent(f"it has sent nothing for {SUPERVISOR_LOST_S:g} s")

    def _continue_stopped(self) -> None:
        """Continues a supervisor on this host that is stopped (SIGSTOP), while this agent runs."""
        leader = read_leader(self._run, self._first)
        if leader and leader.stopped_here(self._host):
            say(f"the supervisor on {self._host} was stopped (SIGSTOP); it is continued")
            with contextlib.suppress(OSError):
                os.kill(leader.pid, signal.SIGCONT)
