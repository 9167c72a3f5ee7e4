"""The leader's side of a server that generates answers: where it runs, whether it answers, and its restart while ranks wait."""

import time
from collections.abc import Sequence

from launcher.errors import Exit
from launcher.output import say
from launcher.plan.generation import Generation
from launcher.plan.server_command import REVISION
from launcher.protocol.to_agent import EndServer, ServerAt, StartServer
from launcher.protocol.to_supervisor import ServerState
from launcher.run.events import supervisor as noted
from launcher.supervise.node_pool import NodePool
from launcher.supervise.nodes import Node
from launcher.supervise.policy import AttemptContext, EndedAttempt, How


class GenerationServer:
    """The server of one run, over all attempts. It is started with the ranks and ended with them, since the connection over
    which it gets weights does not outlive rank 0."""

    def __init__(self, pool: NodePool, generation: Generation) -> None:
        self._pool, self._plan, self._generation = pool, pool.plan, generation
        self._node: Node | None = None
        self._ranks: Sequence[Node] = ()
        self._serial = self._starts = 0
        self._begun = 0.0
        self._revision = ""
        self._ready: float | None = None
        """time.monotonic() since which it answers; None while it does not."""
        self._has_answered = False
        """Whether it has answered in this attempt."""

    @property
    def ready_since(self) -> float | None:
        """time.monotonic() since which the server answers; None while the ranks may be waiting for it."""
        return self._ready

    def begin(self, node: Node, ranks: Sequence[Node], revision: str, context: AttemptContext) -> None:
        """Starts the server of an attempt on a node."""
        self._ranks, self._starts, self._has_answered, self._revision = ranks, 0, False, revision
        self._start(node, context)

    def look(self, context: AttemptContext) -> EndedAttempt | None:
        """Reads what the server's node has reported, and starts the server again if it has ended; returns how the attempt ends
        if the server cannot be started again."""
        node = self._node
        if node is None:
            return None
        if node.lost:
            return self._lost(node, f"the node is lost: {node.lost}", context)
        for state in self._pool.nodes.answers(node, ServerState):
            if state.serial != self._serial:
                continue
            if state.url:
                self._answers(node, state.url, context)
            elif ended := self._lost(node, state.reason, context):
                return ended
        return None

    def end(self) -> None:
        """Ends the server, with the ranks."""
        if self._node is not None and not self._node.lost:
            self._pool.nodes.tell([self._node], EndServer())
        self._node, self._ready = None, None

    def _start(self, node: Node, context: AttemptContext) -> None:
        alone = self._pool.one_machine
        own, generation = self._plan.topology.gpus_per_node, self._generation
        self._serial += 1
        self._starts += 1
        self._node, self._ready, self._begun = node, None, time.monotonic()
        self._pool.nodes.answers(node, ServerState)
        self._pool.nodes.tell(
            [node],
            StartServer(
                serial=self._serial,
                words=tuple(word.replace(REVISION, self._revision) for word in generation.command),
                environment=dict(generation.env),
                address="127.0.0.1" if alone else self._pool.nodes.address_of(node),
                first_gpu=0 if generation.nodes else own,
                gpus=generation.gpus,
                folder=context.folder,
                timeout_s=generation.start_timeout_s,
            ),
        )

    def _answers(self, node: Node, url: str, context: AttemptContext) -> None:
        self._ready, self._has_answered = time.monotonic(), True
        seconds = round(self._ready - self._begun, 2)
        self._pool.run.note(
            noted.ServerReady(attempt=context.number, host=node.host, url=url, seconds=seconds)
        )
        self._pool.nodes.tell(self._ranks, ServerAt(serial=self._serial, url=url))

    def _lost(self, node: Node, reason: str, context: AttemptContext) -> EndedAttempt | None:
        """Starts the server again; how the attempt ends if there is no node for it, or it was started often enough."""
        self._ready = None
        told = f"the generation server on {node.host}: {reason}"
        if self._starts > self._generation.restarts:
            code = Exit.FAILED if self._has_answered else Exit.START_FAILED
            told += f"; it was started {self._starts} times, see logs/{context.folder}/{node.host}.server.log"
            ended = EndedAttempt(how=How.CRASHED, code=code, reason=told, hosts=(node.host,))
            return self._gave_up(node, reason, ended, context)
        again = node if not node.lost else self._spare()
        if again is None:
            ended = EndedAttempt(how=How.LOST, reason=told, hosts=(node.host,))
            return self._gave_up(node, reason, ended, context)
        self._pool.run.note(
            noted.ServerLost(attempt=context.number, host=node.host, reason=reason, next=again.host)
        )
        say(f"{told}; it is started again on {again.host}, and the ranks wait")
        self._start(again, context)
        return None

    def _gave_up(self, node: Node, reason: str, ended: EndedAttempt, context: AttemptContext) -> EndedAttempt:
        self._pool.run.note(noted.ServerLost(attempt=context.number, host=node.host, reason=reason, next=""))
        self._node = None
        return ended

    def _spare(self) -> Node | None:
        """A node of this job that answers and has no ranks; None if there is none."""
        busy = {node.index for node in self._ranks}
        return next((node for node in self._pool.good() if node.index not in busy), None)
