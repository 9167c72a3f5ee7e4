"""python -m launcher.supervise.agent RUN_DIR: the agent of a node, which starts the ranks as often as the supervisor orders.

The environment of a rank is torchrun's (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, ...), so a script that runs under torchrun
runs here. The agent imports nothing heavy. The agent of the first node binds the rendezvous port and hands the open socket to
rank 0, so that no other process can take the port in between. Without a supervisor, which means that a person has started
node.sh, it starts one attempt.

In a job that outlives its batch host, an agent also outlives its supervisor: it ends its ranks, keeps its warm process, and
obeys the next supervisor, which it may start itself.
"""

import errno
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

from launcher import environment
from launcher.clusters.registry import find_cluster
from launcher.errors import Exit, LauncherError
from launcher.hub import OFFLINE, hides_token
from launcher.output import say
from launcher.ports import bind, choose_port
from launcher.processes import start_in_utf8
from launcher.protocol.agents import (
    TO_AGENT,
    CheckLink,
    DumpStacks,
    EndAgent,
    EndServer,
    FetchEnded,
    FetchFromHub,
    Hello,
    KillRanks,
    LinkChecked,
    LinkListening,
    ListenForLink,
    NodeHeartbeat,
    OpenPort,
    PortOpened,
    RanksEnded,
    ServerAt,
    ServerState,
    Shutdown,
    StacksDumped,
    StartFailed,
    StartRanks,
    StartServer,
)
from launcher.protocol.codec import Message, ProtocolError
from launcher.protocol.ranks import STACKS_SIGNAL
from launcher.run import RunDir
from launcher.supervise.addresses import LOOPBACK, interface_of, is_loopback
from launcher.supervise.by_hand import start_by_hand
from launcher.supervise.connection import ConnectionClosed
from launcher.supervise.fetching import FetchProcess
from launcher.supervise.leader_watch import LeaderWatch, Silent
from launcher.supervise.link_check import LinkCheck
from launcher.supervise.next_leader import NextLeader, connect
from launcher.supervise.orphaned import queue_again
from launcher.supervise.preflight import look_at_node, nccl_variables, raise_limits
from launcher.supervise.ranks import Ranks, open_log, rank_environment
from launcher.supervise.server_process import ServerProcess
from launcher.supervise.starters import ColdStarter, WarmStarter
from launcher.timeouts import (
    END_RANKS_S,
    heartbeat_s,
)

_POLL_S = 0.02


def main(argv: list[str]) -> int:
    """The exit code of the node: that of its first failed rank, else 0."""
    run = RunDir(Path(argv[0]).resolve())
    try:
        if environment.SUPERVISOR in os.environ:
            return Agent(run).serve()
        return start_by_hand(run)
    except LauncherError as error:
        say(str(error))
        return error.exit_code


class Agent:
    """The agent of this node."""

    def __init__(self, run: RunDir) -> None:
        # A scheduler sends these signals to every process of a step. The supervisor decides when and how the ranks end.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        self.run = run
        plan = run.read_json(run.plan)
        self.cluster = find_cluster(str(plan["cluster"]))
        self.index = self.cluster.node_index(os.environ)
        self.host = self.cluster.host(os.environ)
        topology = plan["topology"]
        low_limits = raise_limits()
        if int(topology["nodes"]) > 1:
            for limit in low_limits:
                say(f"{self.host}: {limit}")
        job, first = self.cluster.job(os.environ), os.environ.get(environment.LEASE, "")
        self.outlives = self.cluster.keeps_job_without_head() and job is not None
        """Whether the cluster keeps the job when its batch host is lost."""
        self.succeeds = self.outlives and job is not None and job.index is None
        """Whether another supervisor can lead the job; a task of an array belongs to its sweep's worker."""
        self.ranks_here = int(topology["gpus_per_node"])
        self.world_size = int(topology["world_size"])
        self.heartbeat_s = heartbeat_s(int(topology["nodes"]))
        meeting = plan["meeting"]
        self.ports: tuple[int, int] | None = tuple(meeting["ports"]) if meeting["ports"] else None
        self.named_network = bool(meeting["host_suffix"])
        """Whether the configuration names the network of the job by the hosts' names."""
        self.named_interface = bool(meeting["interface"])
        self.listener: socket.socket | None = None
        self.starting: StartRanks | None = None
        """An order that waits for the warm process."""
        self.first_rank = 0
        self.killing = False
        """Whether the supervisor waits for RanksEnded."""
        self.log = open_log(run, os.environ.get(environment.JOB, "hand"), self.host)
        self.nccl = nccl_variables(os.environ) if plan["device"] == "cuda" else {}
        for name, value in self.nccl.items():
            say(f"{self.host}: {name}={value}, as these cards need it")
        # before anything that waits, because a run's first step waits for what it imports
        self.warm: WarmStarter | None = WarmStarter(run.path, self._common(), self.log)
        self.next_leader = NextLeader(run, first, self.index, self.log)
        self.connection = connect(run, first, self.index)
        self.watch = LeaderWatch(run, first, self.host, succeeds=self.succeeds)
        self.ranks = Ranks(ColdStarter(run.path))
        self.next_heartbeat = 0.0
        self._reported: tuple[dict[int, int], dict[int, str]] = ({}, {})
        self.link_check: LinkCheck | None = None
        self.fetch: FetchProcess | None = None
        self.server: ServerProcess | None = None
        self.server_at: ServerAt | None = None
        """Where a server answers, for ranks that are not started yet."""
        self.work_dir = Path(str(plan["facts"]["work_dir"]))

    def serve(self) -> int:
        """Obeys until the supervisor ends the agent, or is gone and no other one leads the job; the exit code of the node."""
        facts = look_at_node(self.run)
        try:
            while True:
                try:
                    self.connection.send(Hello(host=self.host, facts=replace(facts, time=time.time())))
                    self.watch.begin()  # the check can take longer than a supervisor may be silent
                    self._follow()
                    self.next_leader.wait()
                    return Exit.OK
                except (ConnectionClosed, ProtocolError) as error:
                    say(f"the supervisor is lost ({error}); the ranks on {self.host} are killed")
                    if self.succeeds and self._find_leader(closed=not isinstance(error, Silent)):
                        continue
                    self._end_all()
                    job = self.cluster.job(os.environ)
                    if self.outlives and job:
                        queue_again(self.run, self.cluster, job, self.index)
                    return Exit.FAILED
        finally:
            self._end_all()

    def _follow(self) -> None:
        """Returns when the supervisor ends the agent; ConnectionClosed or ProtocolError when it is lost."""
        while True:
            self.connection.wait(_POLL_S)
            messages = self.connection.receive(TO_AGENT)
            self.watch.check(spoke=bool(messages))
            for message in messages:
                if isinstance(message, EndAgent):
                    return
                self._obey(message)
            self._go_on()
            self.connection.flush()

    def _find_leader(self, *, closed: bool) -> bool:
        """Whether another supervisor leads this agent from now on. Its ranks end, and its warm process stays."""
        for stream in (1, 2):  # what reads them may have died with the supervisor
            os.dup2(self.log, stream)
        self.connection.close()
        self._end_fetch()
        self._end_server()
        self._end_ranks()
        if not self.ranks.all_ended():
            return False
        self.ranks.close()
        self.starting, self.killing, self.link_check, self.server_at = None, False, None, None
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        begun = time.monotonic()
        connection = self.next_leader.find(self.watch.signs, closed=closed, poll=self.ranks.poll)
        if connection is None:
            return False
        self.connection, self._reported = connection, ({}, {})
        say(f"{self.host} has found a supervisor after {time.monotonic() - begun:.1f} s")
        return True

    def _obey(self, message: Message) -> None:
        match message:
            case OpenPort():
                self.listener = self.listener or self._bind(message.address)
                port = self.listener.getsockname()[1]
                self.connection.send(PortOpened(attempt=message.attempt, port=port))
            case StartRanks():
                self.starting, self.killing, self.server_at = message, False, None
            case StartServer():
                self._start_server(message)
            case EndServer():
                self._end_server()
            case ServerAt():
                self.server_at = message
                self.ranks.tell(message)
            case ListenForLink():
                own = self.connection.ends()[1] if self.named_interface else ""
                self.link_check = LinkCheck(self.ports, message.secret, own)
                self.connection.send(LinkListening(port=self.link_check.listen()))
            case CheckLink() if self.link_check is not None:
                self.link_check.send(message.address, message.port, message.secret)
            case FetchFromHub():
                self.fetch = FetchProcess(message.wanted, os.environ, self.log, self.run.path)
            case Shutdown():
                self.ranks.tell(message)
            case DumpStacks():
                folder = self.run.logs / message.folder
                folder.mkdir(parents=True, exist_ok=True)
                self.connection.send(StacksDumped(states=self.ranks.dump(folder, STACKS_SIGNAL)))
            case KillRanks():
                self._end_fetch()
                self.starting, self.killing = None, True
                self.ranks.kill()
            case _:  # a Ping says only that the supervisor lives
                pass

    def _go_on(self) -> None:
        if self.starting is not None:
            self._start()
        if self.link_check is not None and self.link_check.result is not None:
            self.connection.send(LinkChecked(error=self.link_check.result))
            self.link_check = None
        if self.fetch is not None and (news := self.fetch.poll()) is not None:
            self.connection.send(news)
            if isinstance(news, FetchEnded):
                self._end_fetch()
        if self.server is not None and (state := self.server.poll()) is not None:
            self.connection.send(state)
            if not state.url:
                self.server = None
        self.ranks.poll()
        if self.ranks.never_spoke():
            self._give_up_warm()
        if self.killing and self.ranks.all_ended():
            self.killing = False
            self.ranks.close()
            self.connection.send(RanksEnded(host=self.host))
        codes = self.ranks.codes()
        # The supervisor orders a shutdown by the phases of the ranks, so a new phase is reported at once.
        report = (codes, self.ranks.phases())
        if time.monotonic() > self.next_heartbeat or report != self._reported:
            self._reported = report
            self.next_heartbeat = time.monotonic() + self.heartbeat_s
            self.connection.send(
                NodeHeartbeat(
                    first_rank=self.first_rank,
                    ranks=self.ranks.states(),
                    codes=codes,
                    waiting=self.starting is not None,
                )
            )

    def _start(self) -> None:
        """Starts the ranks once the warm process can fork them, or without it if it never will."""
        ready = self.warm.ready() if self.warm else False
        if ready is None or self.starting is None:
            return
        order, self.starting = self.starting, None
        if ready is False and self.warm is not None:
            self.warm.close()
            self.warm = None
        self.ranks = Ranks(self.warm or ColdStarter(self.run.path))
        self.first_rank = order.first_rank
        env = {
            **self._common(),
            **self._interfaces(order.own_address),
            environment.GROUP_RANK: str(order.first_rank // self.ranks_here),
            environment.MASTER_ADDR: order.address,
            environment.MASTER_PORT: str(order.port),
            environment.ATTEMPT: str(order.attempt),
            environment.LEASE: order.lease,
            **({environment.MODEL_COMMIT: order.model_commit} if order.model_commit else {}),
        }
        log = open_log(self.run, f"{os.environ.get(environment.JOB, 'hand')}_{order.attempt}", self.host)
        numbers = range(order.first_rank, order.first_rank + self.ranks_here)
        try:
            self.ranks.start(numbers, env, log, self.listener if order.first_rank == 0 else None)
            if self.server_at is not None:
                self.ranks.tell(self.server_at)
        except OSError as error:
            say(f"{self.host}: {error}; the ranks are started without the warm process")
            self._give_up_warm()
        finally:
            os.close(log)
        if self.listener is not None and self.starting is None:
            self.listener.close()
            self.listener = None

    def _give_up_warm(self) -> None:
        """Ends this attempt's ranks and the warm process; the next attempt starts each rank as a new process."""
        self.ranks.kill()
        if self.warm is not None:
            self.warm.close()
            self.warm = None
        self.ranks = Ranks(ColdStarter(self.run.path))
        self.connection.send(
            StartFailed(
                host=self.host,
                reason="the ranks that the warm process forked did not begin; the next attempt starts them without it",
            )
        )

    def _common(self) -> dict[str, str]:
        return {
            **hides_token(os.environ),
            **OFFLINE,  # what the ranks need is fetched before; a value of the site is kept
            **os.environ,
            **rank_environment(self.world_size, self.ranks_here),
            **self.nccl,
        }

    def _interfaces(self, own_address: str) -> dict[str, str]:
        """The interface of this node's address, for gloo, which would otherwise look up the host's own name and can find
        127.0.1.1 or, on one machine, an address that others reach. NCCL finds the fastest network by itself, unless the
        configuration names one. A value of the site is kept."""
        interface = LOOPBACK if is_loopback(own_address) else interface_of(own_address)
        names = [environment.GLOO_INTERFACE, *([environment.NCCL_INTERFACE] if self.named_network else [])]
        return {name: interface for name in names if interface and name not in os.environ}

    def _bind(self, address: str) -> socket.socket:
        """The socket at which the ranks meet; at all addresses if this node does not know that one as its own."""
        port = choose_port(self.ports)
        try:
            return bind(port, address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return bind(port)

    def _start_server(self, order: StartServer) -> None:
        self._end_server()
        folder = self.work_dir if self.work_dir.is_dir() else self.run.path
        log = open_log(self.run, order.folder, f"{self.host}.server")
        try:
            self.server = ServerProcess(order, choose_port(self.ports), self._common(), log, folder)
        except OSError as error:
            reason = f"its command {order.words[0]} cannot be run: {error.strerror}"
            self.connection.send(ServerState(serial=order.serial, url="", code=127, reason=reason))
        finally:
            os.close(log)

    def _end_server(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    def _end_fetch(self) -> None:
        if self.fetch is not None:
            self.fetch.close()
            self.fetch = None

    def _end_ranks(self) -> None:
        self.ranks.kill()
        deadline = time.monotonic() + END_RANKS_S
        while not self.ranks.all_ended() and time.monotonic() < deadline:
            self.ranks.poll()
            time.sleep(_POLL_S)

    def _end_all(self) -> None:
        self._end_fetch()
        self._end_server()
        self._end_ranks()
        if self.warm is not None:
            self.warm.close()


if __name__ == "__main__":
    start_in_utf8()
    sys.exit(main(sys.argv[1:]))
