"""Fetching from a hub: before any rank starts, one node fetches what the run needs.

The leader's side is Fetcher. The agent's side is a process that runs launcher.train.fetch.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher.errors import Exit
from launcher.hub import HubInputs
from launcher.processes import death_with_parent, exit_code
from launcher.protocol.to_agent import FetchFromHub, KillRanks
from launcher.protocol.to_supervisor import FetchEnded, FetchProgress
from launcher.run import RunDir
from launcher.run.events import supervisor as noted
from launcher.supervise.children import StopSignal
from launcher.supervise.nodes import Node, Nodes
from launcher.supervise.policy import AttemptContext, EndedAttempt, How
from launcher.timeouts import FETCH_STALLED_S
from launcher.units import GIB

_POLL_S = 0.05
_REPORT_S = 30.0
"""Seconds between two events that say how much has been fetched."""


class Fetcher:
    """Fetches once, for all attempts of the job."""

    def __init__(self, run: RunDir, nodes: Nodes, stopped: StopSignal, wanted: HubInputs | None) -> None:
        """`wanted`: what comes from a hub; None if nothing does."""
        self._run, self._nodes, self._stopped, self._wanted = run, nodes, stopped, wanted
        self._fetched = False
        self.commit: str | None = None
        """The commit of the model, once it is known."""

    def fetch(self, good: Sequence[Node], context: AttemptContext) -> EndedAttempt | None:
        """None once all is fetched, on the first of these nodes; how the attempt ended if that failed."""
        if self._wanted is None or self._fetched or not good:
            return None
        node = good[0]
        earlier = self._run.read_events(noted.Fetched)
        commit = earlier[-1].commit if earlier else None
        begun = time.monotonic()
        self._report(node, 0.0, context)
        self._nodes.tell([node], FetchFromHub(wanted=self._wanted.to_json(commit, again=bool(earlier))))
        found = self._wait(node, context)
        if isinstance(found, EndedAttempt):
            return found
        self._fetched, self.commit = True, found.commit
        gib, seconds = round(found.bytes / GIB, 3), round(time.monotonic() - begun, 2)
        self._run.note(noted.Fetched(attempt=context.number, commit=self.commit, gib=gib, seconds=seconds))
        return None

    def _report(self, node: Node, gib: float, context: AttemptContext) -> None:
        self._run.note(noted.Fetching(attempt=context.number, host=node.host, gib=round(gib, 2)))

    def _wait(self, node: Node, context: AttemptContext) -> EndedAttempt | FetchEnded:
        """What was fetched, or how the attempt ended; adds an event now and then that says how much has been fetched."""
        most, changed, reported = 0, time.monotonic(), time.monotonic()
        while True:
            self._nodes.poll(_POLL_S)
            moment = time.monotonic()
            for progress in self._nodes.answers(node, FetchProgress):
                if progress.bytes > most:
                    most, changed = progress.bytes, moment
            for end in self._nodes.answers(node, FetchEnded):
                return end if end.code == Exit.OK else _failed(node, end)
            if moment - reported > _REPORT_S:
                reported = moment
                self._report(node, most / GIB, context)
            if number := self._stopped.signal:
                self._nodes.tell([node], KillRanks())
                cause, _ = context.explain_signal(number)
                reason = "stopped while model and data were fetched"
                return EndedAttempt(how=How.CUT, code=128 + number, told=cause, reason=reason)
            if node.lost:
                return EndedAttempt(how=How.LOST, hosts=(node.host,), reason=f"{node.host}: {node.lost}")
            if moment - changed > FETCH_STALLED_S:
                self._nodes.tell([node], KillRanks())
                reason = f"{node.host}: the hub has sent no byte for {FETCH_STALLED_S:g} s"
                return EndedAttempt(how=How.CRASHED, code=Exit.FETCH_FAILED, reason=reason)


def _failed(node: Node, end: FetchEnded) -> EndedAttempt:
    why = end.error or f"fetching model and data ended with exit code {end.code}; see logs/"
    return EndedAttempt(how=How.CRASHED, code=end.code, reason=f"{node.host}: {why}")


class FetchProcess:
    """The process that fetches model and data into the cache, on one node of the job."""

    def __init__(self, wanted: str, env: Mapping[str, str], log: int, folder: Path) -> None:
        """`wanted`: launcher.hub.HubInputs as JSON; `log`: a file descriptor."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "launcher.train.fetch", wanted],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            preexec_fn=death_with_parent(),
        )
        assert self._process.stdout
        os.set_blocking(self._process.stdout.fileno(), False)
        self._read = b""
        self._newest: dict[str, Any] = {}

    def poll(self) -> FetchProgress | FetchEnded | None:
        """What is new: the bytes so far, or the end; None if nothing is new."""
        assert self._process.stdout
        code = self._process.poll()
        piece = self._process.stdout.read() or b""
        *lines, self._read = (self._read + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):  # a library may print something too
                try:
                    self._newest = json.loads(line)
                except ValueError:
                    continue
        number = self._newest.get("bytes")
        fetched = number if isinstance(number, int) else 0
        if code is not None:
            commit, error = self._newest.get("commit"), self._newest.get("error")
            return FetchEnded(
                code=exit_code(code),
                error=str(error or ""),
                commit=str(commit) if commit else None,
                bytes=fetched,
            )
        return FetchProgress(bytes=fetched) if lines else None

    def close(self) -> None:
        """Kills the process if it still lives."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
