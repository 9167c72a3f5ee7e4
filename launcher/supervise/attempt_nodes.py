"""The nodes on which an attempt has its ranks: they are chosen, told to start their ranks, and told to end them."""

import time

from launcher.protocol.to_agent import KillRanks, OpenPort, StartRanks
from launcher.protocol.to_supervisor import PortOpened, RanksEnded
from launcher.supervise.lease import Lease
from launcher.supervise.node_pool import NodePool
from launcher.supervise.nodes import Node
from launcher.supervise.policy import AttemptContext, EndedAttempt, How
from launcher.timeouts import ANSWER_S

_POLL_S = 0.05


class AttemptNodes:
    """The nodes of a pool that are used for the ranks, over all attempts."""

    def __init__(self, pool: NodePool, lease: Lease) -> None:
        self.pool, self.nodes, self._lease = pool, pool.nodes, lease
        self._topology = pool.plan.topology
        self.used: list[Node] = []
        """The nodes that train, in the order of their ranks."""
        self.last: Node | None = None
        """The last chosen node, on which a generation server runs."""

    def start(self, context: AttemptContext, model_commit: str | None) -> EndedAttempt | None:
        """Orders the agents to start the ranks; returns how the attempt ended if that is not possible."""
        chosen = self.pool.choose(context.blamed)
        if isinstance(chosen, EndedAttempt):
            return chosen
        self.used, first, self.last = chosen[: self._topology.nodes], chosen[0], chosen[-1]
        for node in self.used:
            node.heartbeats, node.codes, node.answers = {}, {}, []
        alone = self.pool.one_machine
        address = "127.0.0.1" if alone else self.nodes.address_of(first)
        self.nodes.tell([first], OpenPort(attempt=context.number, address=address))
        deadline = time.monotonic() + ANSWER_S
        while not (opened := self.nodes.answers(first, PortOpened)):
            self.nodes.poll(_POLL_S)
            if first.lost or time.monotonic() > deadline:
                return EndedAttempt(
                    how=How.LOST,
                    reason=f"{first.host}: {first.lost or 'it does not answer'}",
                    hosts=(first.host,),
                )
        for place, node in enumerate(self.used):
            self.nodes.tell(
                [node],
                StartRanks(
                    attempt=context.number,
                    first_rank=place * self._topology.gpus_per_node,
                    address=address,
                    own_address="127.0.0.1" if alone else self.nodes.address_of(node),
                    port=opened[-1].port,
                    lease=self._lease.nonce,
                    model_commit=model_commit,
                ),
            )
        return None

    def end(self) -> None:
        """Orders the agents to kill the ranks, and returns once they are gone. A node whose ranks do not end is lost."""
        living = [node for node in self.used if not node.lost]
        self.nodes.tell(living, KillRanks())
        deadline = time.monotonic() + ANSWER_S
        left = {node.index for node in living}
        while left and time.monotonic() < deadline:
            self.nodes.poll(_POLL_S)
            for node in living:
                if node.lost or self.nodes.answers(node, RanksEnded):
                    left.discard(node.index)
        for node in living:
            if node.index in left:
                node.lost = "its ranks do not end after SIGKILL"

    def host(self, rank: int) -> str:
        """The host of a rank; ? if the attempt has no node for it."""
        place = rank // self._topology.gpus_per_node
        return self.used[place].host if place < len(self.used) else "?"

    def phase(self, rank: int) -> str:
        """The phase of a rank by its newest heartbeat."""
        state = self.used[rank // self._topology.gpus_per_node].heartbeats.get(rank)
        return state.phase if state else "start"

    def codes(self) -> dict[int, int]:
        """Exit codes of the ranks that have ended."""
        return {rank: code for node in self.used for rank, code in node.codes.items()}
