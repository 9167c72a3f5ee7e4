"""How an agent finds its supervisor: the one that has started it, and when that is lost, the one that leads the job now.

When it is its turn, it starts one itself.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from launcher import environment
from launcher.errors import RunError
from launcher.output import say
from launcher.processes import death_with_parent
from launcher.run import RunDir
from launcher.run.nonce import newest_term
from launcher.supervise.addresses import split, why
from launcher.supervise.connection import Connection, ConnectionClosed
from launcher.supervise.handshake import introduce, read_key
from launcher.supervise.leader_file import Leader, read_leader
from launcher.supervise.lease import holder_of, newest_heartbeat
from launcher.supervise.succession import Signs, turn_s
from launcher.timeouts import CONNECT_ONE_S, CONNECT_S, SUCCESSION_S

_POLL_S = 0.1
_CONNECT_S = 1.5
"""Timeout of one connection to a supervisor that has just said where it listens."""
_AGAIN_S = 3.0
"""Seconds from the end of a candidate that did not become the leader to the next one."""


class NextLeader:
    """The search for the supervisors of a job after the first one."""

    def __init__(self, run: RunDir, first: str, index: int, log: int) -> None:
        """`first`: the nonce of the job's first supervisor. `index`: of this node in the job step. `log`: a file descriptor for
        what a supervisor says that this agent starts."""
        self.run, self.first, self.index, self._log = run, first, index, log
        self._candidate: subprocess.Popen[bytes] | None = None
        self._term, self._since = 0, 0.0
        """The newest term of the job at the last search, and when the first search for a later one began."""

    def find(self, signs: Signs, *, closed: bool, poll: Callable[[], None]) -> Connection | None:
        """A connection to the supervisor that leads or wants to; None once the job is over, or if none has led in time.

        One that wants to lead and gets too few agents gives up, and the agent searches again in what is left of that time.
        `signs`: what was seen of the one that is lost; `closed`: whether its connection ended, in place of its host's silence.
        `poll` is called repeatedly.
        """
        begun = time.monotonic()
        lost = read_leader(self.run, self.first)
        term = newest_term(self.run, self.first, lost.term if lost and lost.claimed else 1)
        turn = begun + turn_s(self.index, lost.index if lost else 0, closed=closed)
        if term != self._term:
            self._term, self._since = term, begun
        while (moment := time.monotonic()) < self._since + SUCCESSION_S:
            poll()
            if holder_of(self.run) != self.first:
                return None
            heartbeat = signs.heartbeat
            signs.look(moment, newest_heartbeat(self.run))
            lives = heartbeat is not None and signs.heartbeat != heartbeat
            found = read_leader(self.run, self.first)
            # one that this agent has lost is asked again while it lives: the network can be back
            may = found and (found.term > term or (found.claimed and found.term == term and lives))
            for host, port in _addresses(found) if found and may else []:
                with contextlib.suppress(OSError, ConnectionClosed, RunError):
                    return _introduced(self.run, self.index, host, port, _CONNECT_S)
            if self._candidate is not None and self._candidate.poll() is not None:
                self._candidate, turn = None, moment + _AGAIN_S
            if self._candidate is None and moment > turn and signs.silent(moment):
                term = newest_term(self.run, self.first, term)
                self._start(term + 1, signs)
            time.sleep(_POLL_S)
        return None

    def wait(self) -> None:
        """Returns once the supervisor that this agent has started, if any, has ended the job."""
        if self._candidate is not None:
            self._candidate.wait()

    def _start(self, term: int, signs: Signs) -> None:
        say(f"node {self.index} starts supervisor number {term} of this job")
        own = {name: value for name, value in os.environ.items() if name != environment.SUPERVISOR}
        self._candidate = subprocess.Popen(
            [
                *(sys.executable, "-m", "launcher.supervise", str(self.run.path)),
                *("--succeed", str(term), "--heartbeat", str(signs.heartbeat)),
            ],
            env={**own, environment.LEASE: self.first},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=death_with_parent(),
        )


def connect(run: RunDir, first: str, index: int) -> Connection:
    """A connection to the job's supervisor, at the first of its addresses where the other end proves that it is one; RunError
    after CONNECT_S. A later supervisor of the job is preferred to the one that has started this agent."""
    given = split(os.environ[environment.SUPERVISOR])
    deadline = time.monotonic() + CONNECT_S
    while True:
        failed: dict[str, str] = {}
        later = read_leader(run, first)
        addresses = _addresses(later) if later and later.term > 1 else given
        for host, port in addresses:
            try:
                return _introduced(run, index, host, port, CONNECT_ONE_S)
            except OSError as error:
                failed[host] = why(error)
            except (ConnectionClosed, RunError) as error:
                failed[host] = str(error)
        if time.monotonic() > deadline:
            told = ", ".join(f"{host} ({reason})" for host, reason in failed.items())
            raise RunError(
                f"{socket.gethostname()} reaches the supervisor at none of its addresses, port {given[0][1]}: {told}; set "
                "cluster.interface or cluster.host_suffix to the network that the nodes share, or cluster.ports to ports that "
                "are open between them"
            )
        time.sleep(0.2)


def _addresses(leader: Leader) -> list[tuple[str, int]]:
    """Where it listens; empty if the file was edited."""
    try:
        return split(leader.addresses)
    except ValueError:
        return []


def _introduced(run: RunDir, index: int, host: str, port: int, timeout_s: float) -> Connection:
    """A connection on which both ends have proved themselves."""
    connection = Connection(socket.create_connection((host, port), timeout=timeout_s))
    try:
        introduce(connection, read_key(run), index)
    except BaseException:
        connection.close()
        raise
    return connection
