"""The nodes of this job over all attempts: started, gathered, looked at, chosen, sent home."""

import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

from launcher.errors import Exit
from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.run.events.supervisor import Preflight
from launcher.supervise.children import Stopped
from launcher.supervise.hosts import note_faults
from launcher.supervise.nodes import Nodes, Peer
from launcher.supervise.orders import Orders
from launcher.supervise.policy import Ended, How
from launcher.supervise.ring import WAIT_S, blame

GATHER_S = 300.0
"""Seconds from the start of the step until every node must have said hello."""
_POLL_S = 0.05
_EXIT_S = 10.0
_CLOCK_S = 60.0
"""Seconds that a node's clock may differ from this one's: munge refuses credentials at more, and caches go by the time."""


class Allocation:
    """The step that holds a starter on every node, and what is known of the nodes."""

    def __init__(
        self,
        run: RunDir,
        plan: LaunchPlan,
        stopped: Stopped,
        start_step: Callable[[Nodes], subprocess.Popen[bytes]],
    ) -> None:
        """`start_step` starts node.sh everywhere."""
        self.run, self.plan, self.stopped, self._start_step = run, plan, stopped, start_step
        self.nodes = Nodes()
        self._step: subprocess.Popen[bytes] | None = None
        self._begun = 0.0

    def hosts(self) -> list[str]:
        """All that have ever answered."""
        return [peer.host for _, peer in sorted(self.nodes.peers.items())]

    def good(self) -> list[Peer]:
        """Nodes that answer and can have ranks."""
        return [peer for peer in self.nodes.there() if not peer.bad]

    def choose(self, blamed: Iterable[str]) -> list[Peer] | Ended:
        """The nodes of an attempt, by index; blamed hosts only where there are no others. LOST where there are too few."""
        needed, good = self.plan.topology.nodes, self.good()
        if len(good) < needed:
            bad = [peer for peer in self.nodes.there() if peer.bad]
            said = "; ".join(f"{peer.host}: {peer.bad}" for peer in bad)
            said = said or f"{len(good)} of {needed} nodes answer"
            return Ended(how=How.LOST, reason=said, hosts=tuple(peer.host for peer in bad))
        last = set(blamed)
        chosen = sorted(good, key=lambda peer: (peer.host in last, peer.index))[:needed]
        return sorted(chosen, key=lambda peer: peer.index)

    def gather(self, orders: Orders) -> Ended | None:
        """Starts the step where none runs, waits until its nodes have said hello, and looks at those that are new."""
        if self._step is None or self._step.poll() is not None:
            self.nodes.drop()
            self._step, self._begun = self._start_step(self.nodes), time.monotonic()
        expected = self.plan.topology.nodes + self.plan.spares
        while len(self.nodes.peers) < expected:
            self.nodes.poll(_POLL_S)
            if self.stopped.signal:
                return Ended(
                    how=How.CUT,
                    code=128 + self.stopped.signal,
                    told=orders.why_told(self.stopped.signal)[0],
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
        self._preflight(orders)
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

    def _preflight(self, orders: Orders) -> None:
        """Marks nodes that cannot work, by what they found in themselves and by the ring; once in their life."""
        new = [peer for peer in self.nodes.there() if "problems" in peer.facts]
        for peer in new:
            for problem in peer.facts.pop("problems"):
                self._mark(peer, problem, orders)
            if abs(skew := float(peer.facts["time"]) - peer.since) > _CLOCK_S:
                self._mark(peer, f"its clock is off by {skew:.0f} s", orders)
        good = self.good()
        if new and len(good) > 1 and self.plan.cluster != "local":
            for host, problem in blame([peer.host for peer in good], self._send_round(good)).items():
                self._mark(next(peer for peer in good if peer.host == host), problem, orders)

    def _mark(self, peer: Peer, problem: str, orders: Orders) -> None:
        peer.bad = problem
        self.run.note(Preflight(attempt=orders.number, host=peer.host, problem=problem))
        if self.plan.cluster != "local":
            note_faults([peer.host], "preflight", self.run.name)

    def _send_round(self, ring: list[Peer]) -> dict[str, str]:
        """Host -> why it did not reach the next one of the ring."""
        self.nodes.tell(ring, kind="listen")
        ports = {host: said["port"] for host, said in self._answers(ring, "listening", WAIT_S).items()}
        for peer, behind in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            if behind.host in ports:
                self.nodes.tell([peer], kind="ring", address=behind.host, port=ports[behind.host])
        results = self._answers(ring, "rung", 2 * WAIT_S)
        return {
            peer.host: results[peer.host]["error"] if peer.host in results else "no answer"
            for peer in ring
            if peer.host not in results or results[peer.host]["error"]
        }

    def _answers(self, peers: list[Peer], kind: str, seconds: float) -> dict[str, dict[str, Any]]:
        """Host -> its answer of that kind, of those that come in time."""
        found: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + seconds
        while len(found) < len(peers) and time.monotonic() < deadline:
            self.nodes.poll(_POLL_S)
            for peer in peers:
                if answers := self.nodes.answers(peer, kind):
                    found[peer.host] = answers[-1]
        return found
