"""The agents of thousands of nodes in one process, for the benchmark of the supervisor: they speak its protocol, and start no
rank."""

import resource
import select
import socket
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe

from launcher.protocol.codec import Message
from launcher.protocol.to_agent import (
    TO_AGENT,
    CheckLink,
    DumpStacks,
    EndAgent,
    KillRanks,
    ListenForLink,
    OpenPort,
    StartRanks,
)
from launcher.protocol.to_supervisor import (
    Hello,
    LinkChecked,
    LinkListening,
    NodeFacts,
    NodeHeartbeat,
    PortOpened,
    ProbeResult,
    RanksEnded,
    RankState,
    StacksDumped,
)
from launcher.supervise.connection import Connection, ConnectionClosed
from launcher.supervise.handshake import introduce
from launcher.timeouts import heartbeat_s

RANKS = 8
"""Ranks of each node."""
_STEP_S = 0.5
_PROBE_S = 5.0
_AT_ONCE = 128


def connect(address: tuple[str, int], key: bytes, index: int) -> Connection:
    """The connection of an agent that has said hello."""
    agent = Connection(socket.create_connection(address))
    introduce(agent, key, index)
    facts = NodeFacts(time=time.time(), disk=1 << 40, memory=1 << 40, problems=())
    agent.send(Hello(host=f"n{index:05d}", facts=facts))
    return agent


class Agents:
    """All agents of a job. What is to go wrong comes over a pipe, as (fault, index of the node)."""

    def __init__(self, address: tuple[str, int], key: bytes, nodes: int, orders: Pipe) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.orders, self.every_s = orders, heartbeat_s(nodes)
        self.waits = select.epoll()
        self.agents: dict[int, Connection] = {}
        self.index: dict[int, int] = {}
        self.first_rank: dict[int, int] = {}
        """Of the nodes whose ranks are started, by index."""
        self.told: list[float] = []
        """When each StartRanks of this attempt came (time.monotonic())."""
        self.stopped: dict[int, float] = {}
        self.codes: dict[int, int] = {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # as nodes connect: many at the same time
            agents = [*pool.map(lambda index: connect(address, key, index), range(nodes))]
        for index, agent in enumerate(agents):
            self.agents[index], self.index[agent.fileno()] = agent, index
            self.waits.register(agent, select.EPOLLIN)
        begun = time.monotonic()
        self.due = deque((begun + self.every_s * index / nodes, index) for index in range(nodes))

    def serve(self) -> None:
        """Until the supervisor ends the agents."""
        while self.agents:
            if self.orders.poll():
                self._go_wrong(*self.orders.recv())
            moment = time.monotonic()
            while self.due and self.due[0][0] <= moment:
                planned, index = self.due.popleft()
                if index in self.agents:
                    self._say(index, self._heartbeat(index, moment))
                    late = planned + self.every_s <= moment
                    self.due.append(((moment if late else planned) + self.every_s, index))
            for descriptor, _ in self.waits.poll(0.002, 1024):
                if (agent := self.agents.get(self.index[descriptor])) is not None:
                    self._hear(self.index[descriptor], agent)

    def _hear(self, index: int, agent: Connection) -> None:
        try:
            messages = agent.receive(TO_AGENT)
        except ConnectionClosed:
            self._end(index)
            return
        for message in messages:
            self._obey(index, message)

    def _obey(self, index: int, message: Message) -> None:
        match message:
            case OpenPort():
                self._say(index, PortOpened(attempt=message.attempt, port=1))
            case StartRanks():
                self.told.append(time.monotonic())
                self.first_rank[index] = message.first_rank
            case ListenForLink():
                self._say(index, LinkListening(port=1))
            case CheckLink():
                self._say(index, LinkChecked(error=""))
            case DumpStacks():
                first = self.first_rank.get(index, 0)
                state = "T" if index in self.stopped else "S"
                self._say(index, StacksDumped(states={first + rank: state for rank in range(RANKS)}))
            case KillRanks():
                self.told = []
                self.stopped.pop(index, None)
                self.codes.pop(index, None)
                self.first_rank.pop(index, None)
                self._say(index, RanksEnded(host=f"n{index:05d}"))
            case EndAgent():
                self._end(index)
            case _:
                pass

    def _go_wrong(self, fault: str, index: int) -> None:
        """Makes a fault happen, and answers with its moment; `told` answers when the newest StartRanks came."""
        moment = time.monotonic()
        if fault == "told":
            self.orders.send((min(self.told, default=0.0), max(self.told, default=0.0), len(self.told)))
            return
        if fault == "crash":
            self.codes[index] = 137
            self._say(index, self._heartbeat(index, moment))
        elif fault == "stop":
            self.stopped[index] = moment
        elif fault == "close":
            self._end(index)
        self.orders.send(moment)

    def _heartbeat(self, index: int, moment: float) -> NodeHeartbeat:
        first = self.first_rank.get(index)
        if first is None:
            return NodeHeartbeat(first_rank=0, ranks=(), codes={})
        step, probe = int(moment / _STEP_S), ProbeResult(int(moment / _PROBE_S), 0.01, 0.0)
        stopped_s = moment - self.stopped.get(index, moment)
        ranks = tuple(
            RankState("step", step, 0.1, probe, round(stopped_s, 3) if rank == 0 else 0.0)
            for rank in range(RANKS)
        )
        codes = {first: self.codes[index]} if index in self.codes else {}
        return NodeHeartbeat(first_rank=first, ranks=ranks, codes=codes)

    def _say(self, index: int, message: Message) -> None:
        try:
            self.agents[index].send(message)
        except ConnectionClosed:
            self._end(index)

    def _end(self, index: int) -> None:
        agent = self.agents.pop(index, None)
        if agent is not None:
            agent.close()
