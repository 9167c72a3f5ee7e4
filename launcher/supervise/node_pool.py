"""The nodes of this job over all attempts: started, gathered, looked at, chosen, sent home."""

import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

from launcher.errors import Exit
from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.run.events.supervisor import Preflight
from launcher.supervise.attempt_context import AttemptContext
from launcher.supervise.children import StopSignal
from launcher.supervise.hosts import note_faults
from launcher.supervise.link_check import WAIT_S, blame_hosts
from launcher.supervise.nodes import Node, Nodes
from launcher.supervise.policy import Ended, How

GATHER_S = 300.0
"""Seconds from the start of the step until every node must have said hello."""
_POLL_S = 0.05
_EXIT_S = 10.0
_CLOCK_S = 60.0
"""Seconds that a node's clock may differ from this one's: munge refuses credentials at more, and caches go by the time."""


class NodePool:
    """The step that holds a starter on every node, and what is known of the nodes."""

    def __init__(
        self,
        run: RunDir,
        plan: LaunchPlan,
        stopped: StopSignal,
        start_step: Callable[[Nodes], subprocess.Popen[bytes]],
    ) -> None:
        """`start_step` starts node.sh everywhere."""
        self.run, self.plan, self.stopped, self._start_step = run, plan, stopped, start_step
        self.nodes = Nodes()
        self._step: subprocess.Popen[bytes] | None = None
        self._begun = 0.0

    def hosts(self) -> list[str]:
        """All that have ever answered."""
        return [node.host for _, node in sorted(self.nodes.by_index.items())]

    def good(self) -> list[Node]:
        """Nodes that answer and can have ranks."""
        return [node for node in self.nodes.there() if not node.bad]

    def choose(self, blamed: Iterable[str]) -> list[Node] | Ended:
        """The nodes of an attempt, by index; blamed hosts only where there are no others. LOST where there are too few."""
        needed, good = self.plan.topology.nodes, self.good()
        if len(good) < needed:
            bad = [node for node in self.nodes.there() if node.bad]
            said = "; ".join(f"{node.host}: {node.bad}" for node in bad)
            said = said or f"{len(good)} of {needed} nodes answer"
            return Ended(how=How.LOST, reason=said, hosts=tuple(node.host for node in bad))
        last = set(blamed)
        chosen = sorted(good, key=lambda node: (node.host in last, node.index))[:needed]
        return sorted(chosen, key=lambda node: node.index)

    def gather(self, context: AttemptContext) -> Ended | None:
        """Starts the step where none runs, waits until its nodes have said hello, and looks at those that are new."""
        if self._step is None or self._step.poll() is not None:
            self.nodes.drop()
            self._step, self._begun = self._start_step(self.nodes), time.monotonic()
        expected = self.plan.topology.nodes + self.plan.spares
        while len(self.nodes.by_index) < expected:
            self.nodes.poll(_POLL_S)
            if self.stopped.signal:
                return Ended(
                    how=How.CUT,
                    code=128 + self.stopped.signal,
                    told=context.explain_signal(self.stopped.signal)[0],
                    reason="told to end before the ranks were started",
                )
            if self._step.poll() is not None:
                reason = f"srun ended with exit code {self._step.returncode} before the nodes answered"
                return Ended(how=How.CRASHED, code=Exit.FAILED, reason=reason)  # its 1 is not our "refused"
            if time.monotonic() > self._begun + GATHER_S:
                if len(self.nodes.there()) >= self.plan.topology.nodes:
                    break
                reason = f"{len(self.nodes.there())} of {expected} nodes answered within {GATHER_S:g} s"
                return Ended(how=How.LOST, reason=reason)
        self._preflight(context)
        return None

    def close(self) -> None:
        """Sends the nodes home and ends the step."""
        self.nodes.tell(self.nodes.there(), kind="exit")
        if self._step is not None:
            try:
                self._step.wait(_EXIT_S)
            except subprocess.TimeoutExpired:
                self._step.kill()
                self._step.wait()
        self.nodes.listener.close()

    def _preflight(self, context: AttemptContext) -> None:
        """Marks nodes that cannot work, by what they found in themselves and by the ring; once in their life."""
        new = [node for node in self.nodes.there() if "problems" in node.facts]
        for node in new:
            for problem in node.facts.pop("problems"):
                self._mark(node, problem, context)
            if abs(skew := float(node.facts["time"]) - node.since) > _CLOCK_S:
                self._mark(node, f"its clock is off by {skew:.0f} s", context)
        good = self.good()
        if new and len(good) > 1 and self.plan.cluster != "local":
            for host, problem in blame_hosts([node.host for node in good], self._send_round(good)).items():
                self._mark(next(node for node in good if node.host == host), problem, context)

    def _mark(self, node: Node, problem: str, context: AttemptContext) -> None:
        node.bad = problem
        self.run.note(Preflight(attempt=context.number, host=node.host, problem=problem))
        if self.plan.cluster != "local":
            note_faults([node.host], "preflight", self.run.name)

    def _send_round(self, ring: list[Node]) -> dict[str, str]:
        """Host -> why it did not reach the next one of the ring."""
        self.nodes.tell(ring, kind="listen")
        ports = {host: said["port"] for host, said in self._answers(ring, "listening", WAIT_S).items()}
        for node, behind in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            if behind.host in ports:
                self.nodes.tell([node], kind="ring", address=behind.host, port=ports[behind.host])
        results = self._answers(ring, "rung", 2 * WAIT_S)
        return {
            node.host: results[node.host]["error"] if node.host in results else "no answer"
            for node in ring
            if node.host not in results or results[node.host]["error"]
        }

    def _answers(self, nodes: list[Node], kind: str, seconds: float) -> dict[str, dict[str, Any]]:
        """Host -> its answer of that kind, of those that come in time."""
        found: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + seconds
        while len(found) < len(nodes) and time.monotonic() < deadline:
            self.nodes.poll(_POLL_S)
            for node in nodes:
                if answers := self.nodes.answers(node, kind):
                    found[node.host] = answers[-1]
        return found
