"""What a run needs from a hub, fetched on one node before any rank starts.

The agent of one node runs launcher.train.fetch (FetchProcess) and passes its progress on. The supervisor (Fetcher) waits for
it outside of any collective.
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
from launcher.hub import Wanted
from launcher.processes import die_with_parent, exit_code
from launcher.run import RunDir
from launcher.run.events import supervisor as noted
from launcher.supervise.attempt_context import AttemptContext
from launcher.supervise.children import StopSignal
from launcher.supervise.nodes import Node, Nodes
from launcher.supervise.policy import Ended, How

SILENT_S = 900.0
"""Seconds without a new byte after which fetching has failed. Preparing a data set adds none for a while."""
_POLL_S = 0.05
_TELL_S = 30.0


class FetchProcess:
    """The process that fetches, on its node."""

    def __init__(self, wanted: str, env: Mapping[str, str], log: int, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "launcher.train.fetch", wanted],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout
        os.set_blocking(self._process.stdout.fileno(), False)
        self._read = b""
        self._said: dict[str, Any] = {}

    def poll(self) -> dict[str, Any] | None:
        """What it says new: its bytes so far, or in the end `code` with `commit`, or `error`."""
        assert self._process.stdout
        code = self._process.poll()
        piece = self._process.stdout.read() or b""
        *lines, self._read = (self._read + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):  # a library may print words of its own
                self._said = json.loads(line)
        if code is not None:
            return {"error": "", "commit": None, "bytes": 0, **self._said, "code": exit_code(code)}
        return dict(self._said) if lines else None

    def close(self) -> None:
        """Ends it, where it still lives."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Fetcher:
    """The supervisor's side: once for all attempts."""

    def __init__(self, run: RunDir, nodes: Nodes, stopped: StopSignal, wanted: Wanted | None) -> None:
        """`wanted`: what comes from a hub, None for nothing."""
        self._run, self._nodes, self._stopped, self._wanted = run, nodes, stopped, wanted
        self._fetched = False
        self.commit: str | None = None
        """The model's, once it is known."""

    def fetch(self, good: Sequence[Node], context: AttemptContext) -> Ended | None:
        """Has the first of these nodes fetch, for it will have ranks; how it ended where that failed."""
        if self._wanted is None or self._fetched or not good:
            return None
        node = good[0]
        earlier = self._run.read_events(noted.Fetched)
        commit = earlier[-1].commit if earlier else None
        begun = time.monotonic()
        self._tell(node, 0.0, context)
        self._nodes.tell([node], kind="fetch", wanted=self._wanted.to_json(commit, again=bool(earlier)))
        found = self._wait(node, context)
        if isinstance(found, Ended):
            return found
        self._fetched, self.commit = True, found["commit"]
        gib, seconds = round(found["bytes"] / 2**30, 3), round(time.monotonic() - begun, 2)
        self._run.note(noted.Fetched(attempt=context.number, commit=self.commit, gib=gib, seconds=seconds))
        return None

    def _tell(self, node: Node, gib: float, context: AttemptContext) -> None:
        self._run.note(noted.Fetching(attempt=context.number, host=node.host, gib=round(gib, 2)))

    def _wait(self, node: Node, context: AttemptContext) -> Ended | dict[str, Any]:
        """What was fetched, or how it ended otherwise; tells the GiB that have come, now and then."""
        most, changed, told = 0, time.monotonic(), time.monotonic()
        while True:
            self._nodes.poll(_POLL_S)
            moment = time.monotonic()
            for said in self._nodes.answers(node, "fetch"):
                if "code" in said:
                    return said if said["code"] == Exit.OK else _failed(node, said)
                if said.get("bytes", 0) > most:
                    most, changed = said["bytes"], moment
            if moment - told > _TELL_S:
                told = moment
                self._tell(node, most / 2**30, context)
            if number := self._stopped.signal:
                self._nodes.tell([node], kind="kill")
                why, _ = context.explain_signal(number)
                reason = "told to end while model and data were fetched"
                return Ended(how=How.CUT, code=128 + number, told=why, reason=reason)
            if node.lost:
                return Ended(how=How.LOST, hosts=(node.host,), reason=f"{node.host}: {node.lost}")
            if moment - changed > SILENT_S:
                self._nodes.tell([node], kind="kill")
                reason = f"{node.host}: the hub has sent no byte for {SILENT_S:g} s"
                return Ended(how=How.CRASHED, code=Exit.FETCH_FAILED, reason=reason)


def _failed(node: Node, said: Mapping[str, Any]) -> Ended:
    code = said["code"]
    why = said["error"] or f"fetching model and data ended with exit code {code}; see logs/"
    return Ended(how=How.CRASHED, code=code, reason=f"{node.host}: {why}")
