"""One attempt of the ranks: the leader starts them through the agents, watches them, and ends them."""

import time
from dataclasses import replace

from launcher.errors import Exit
from launcher.output import say
from launcher.protocol.to_supervisor import StartFailed
from launcher.run.events import supervisor as noted
from launcher.supervise.attempt_nodes import AttemptNodes
from launcher.supervise.blame import blame_crash, blame_hang, blame_silence, failures
from launcher.supervise.fetching import Fetcher
from launcher.supervise.generation import GenerationServer
from launcher.supervise.hosts import note_faults
from launcher.supervise.lease import Lease
from launcher.supervise.node_pool import NodePool
from launcher.supervise.nodes import Node
from launcher.supervise.policy import AttemptContext, EndedAttempt, How
from launcher.supervise.progress import RankProgress
from launcher.supervise.shutdown_order import ShutdownOrder

_POLL_S = 0.05
_COUNT_S = 1.0
"""Seconds between two counts of the nodes that answer."""


class AttemptRunner:
    """The ranks on the nodes of a pool, over all attempts."""

    def __init__(self, pool: NodePool, fetcher: Fetcher, lease: Lease) -> None:
        self.pool, self._fetcher, self._lease = pool, fetcher, lease
        self.run, self.plan, self.stopped = pool.run, pool.plan, pool.stopped
        self.nodes = pool.nodes
        generation = self.plan.generation
        self._server = GenerationServer(pool, generation) if generation and generation.is_server else None
        self._ranks = AttemptNodes(pool, lease)
        self._progress = RankProgress(self.plan)
        self._ended: dict[int, int] = {}
        """Exit codes of the ranks of this attempt that have ended."""
        self._next_count = 0.0

    def attempt(self, context: AttemptContext) -> EndedAttempt:
        """How the attempt ended. Afterwards no rank lives on a node that answers."""
        ended = (
            self.pool.gather(context)
            or self._fetcher.fetch(self.pool.good(), context)
            or self._start(context)
            or self._watch(context)
        )
        if ended.how is How.FINISHED:
            return ended
        begun = time.monotonic()
        if self._server is not None:
            self._server.end()
        self._ranks.end()
        return replace(ended, stop_s=time.monotonic() - begun)

    def _start(self, context: AttemptContext) -> EndedAttempt | None:
        ended = self._ranks.start(context, self._fetcher.commit)
        if ended is not None:
            return ended
        self._ended = {}
        self._progress.begin(self._ranks.used)
        last = self._ranks.last  # this node has ranks as well if no node is reserved for the server
        if self._server is not None and last is not None:
            self._server.begin(last, self._ranks.used, self._fetcher.commit or "main", context)
        return None

    def _watch(self, context: AttemptContext) -> EndedAttempt:
        shutdown = ShutdownOrder(self.run, self.plan, self.stopped, context)
        world_size, used = self.plan.topology.world_size, {node.index for node in self._ranks.used}
        while True:
            self.nodes.poll(_POLL_S)
            spoke = [node for node in self.nodes.spoke() if node.index in used]
            for node in spoke:
                self._ended.update(node.codes)
            failed = failures(self._ended)
            if failed and shutdown.cause is None:
                return blame_crash(self.run, self._ranks, context)
            if len(self._ended) == world_size:
                if set(self._ended.values()) == {int(Exit.OK)}:
                    return EndedAttempt(how=How.FINISHED)
                if not failed:
                    return shutdown.shut_down()
            if (ended := self._lost() or self._refused(spoke)) is not None:
                return ended
            if self._server is not None and shutdown.cause is None:
                ended = self._server.look(context)
                if ended is not None:
                    return ended
            shutdown.hear(self._ranks)
            if (ended := shutdown.cut(failed=bool(failed))) is not None:
                return ended
            waiting, since = self._waiting_since()
            hung = self._progress.find_hung(spoke, waiting=waiting, since=since)
            self._name_slow(context)
            if hung is not None:
                return blame_silence(self._ranks, hung) or blame_hang(
                    self._ranks, self._progress, context, hung
                )

    def _lost(self) -> EndedAttempt | None:
        """The end of an attempt that has lost its lease or nodes; None if it has lost neither."""
        if self._lease.lost:
            return EndedAttempt(
                how=How.FENCED,
                reason=f"another supervisor has taken the lease of {self.run.path}; this one ends",
            )
        lost = next((node for node in self._ranks.used if node.lost), None)
        if lost is not None:
            return EndedAttempt(how=How.LOST, hosts=(lost.host,), reason=f"{lost.host}: {lost.lost}")
        if self._is_minority():
            return EndedAttempt(how=How.LOST, reason="fewer than half of the nodes answer")
        return None

    def _refused(self, spoke: list[Node]) -> EndedAttempt | None:
        """The end of an attempt whose ranks an agent could not start; None if all could."""
        refused = [answer for node in spoke for answer in self.nodes.answers(node, StartFailed)]
        if not refused:
            return None
        reason = f"{refused[0].host}: {refused[0].reason}"
        return EndedAttempt(how=How.CRASHED, code=Exit.FAILED, reason=reason)

    def _is_minority(self) -> bool:
        """Whether this supervisor has lost more than half of its nodes. They are counted once a second; False in between."""
        if time.monotonic() < self._next_count:
            return False
        self._next_count = time.monotonic() + _COUNT_S
        return self.nodes.is_minority()

    def _waiting_since(self) -> tuple[bool, float]:
        """Whether ranks may be waiting for a server, which is not a hang, and time.monotonic() since which it answers."""
        if self._server is None:
            return False, 0.0
        since = self._server.ready_since
        return since is None, since or 0.0

    def _name_slow(self, context: AttemptContext) -> None:
        for slow in self._progress.find_slow():
            say(str(slow))
            if slow.shared:
                continue
            relative = round(slow.relative, 3)
            self.run.note(
                noted.Slow(
                    attempt=context.number, host=slow.host, relative=relative, confirmed=slow.confirmed
                )
            )
            if slow.confirmed:
                note_faults([slow.host], "slow", self.run.name)
