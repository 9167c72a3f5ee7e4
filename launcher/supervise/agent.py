"""python -m launcher.supervise.agent RUN_DIR: the agent of a node, which starts the ranks as often as the supervisor orders.

The environment of a rank is torchrun's (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, ...), so a script that runs under torchrun
runs here. The agent imports nothing heavy. The agent of the first node binds the rendezvous port and hands the open socket to
rank 0, so that no other process can take the port in between. Without a supervisor, which means that a person has started
node.sh, it starts one attempt.

In a job that outlives its batch host, an agent also outlives its supervisor: it ends its ranks, keeps its warm process, and
obeys the next supervisor, which it may start itself.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from launcher import environment
from launcher.clusters.registry import find_cluster
from launcher.errors import Exit, LauncherError
from launcher.output import say
from launcher.processes import start_in_utf8
from launcher.protocol.codec import Message, ProtocolError
from launcher.protocol.to_agent import (
    TO_AGENT,
    CheckLink,
    DumpStacks,
    EndAgent,
    EndServer,
    FetchFromHub,
    KillRanks,
    ListenForLink,
    OpenPort,
    ServerAt,
    Shutdown,
    StartRanks,
    StartServer,
)
from launcher.protocol.to_supervisor import Hello
from launcher.run import RunDir
from launcher.supervise.by_hand import start_by_hand
from launcher.supervise.connection import ConnectionClosed
from launcher.supervise.errands import Errands
from launcher.supervise.leader_watch import LeaderWatch, Silent
from launcher.supervise.next_leader import NextLeader, connect
from launcher.supervise.node_ranks import NodeRanks
from launcher.supervise.orphaned import queue_again
from launcher.supervise.preflight import look_at_node, raise_limits
from launcher.supervise.ranks import open_log

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
        low_limits = raise_limits()
        if int(plan["topology"]["nodes"]) > 1:
            for limit in low_limits:
                say(f"{self.host}: {limit}")
        job, first = self.cluster.job(os.environ), os.environ.get(environment.LEASE, "")
        self.outlives = self.cluster.keeps_job_without_batch_host() and job is not None
        """Whether the cluster keeps the job when its batch host is lost."""
        self.succeeds = self.outlives and job is not None and job.index is None
        """Whether another supervisor can lead the job; a task of an array belongs to its sweep's worker."""
        self.named_interface = bool(plan["rendezvous"]["interface"])
        self.log = open_log(run, os.environ.get(environment.JOB, "hand"), self.host)
        # before anything that waits, because a run's first step waits for what its warm process imports
        self.ranks = NodeRanks(run, plan, self.host, self.log, self._send)
        work_dir = Path(str(plan["facts"]["work_dir"]))
        self.errands = Errands(
            run, self.host, work_dir, self.ranks.ports, self.ranks.common, self.log, self._send
        )
        self.next_leader = NextLeader(run, first, self.index, self.log)
        self.connection = connect(run, first, self.index)
        self.watch = LeaderWatch(run, first, self.host, succeeds=self.succeeds)

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
            self.ranks.start_ordered()
            self.errands.report()
            self.ranks.report()
            self.connection.flush()

    def _find_leader(self, *, closed: bool) -> bool:
        """Whether another supervisor leads this agent from now on. Its ranks end, and its warm process stays."""
        for stream in (1, 2):  # what reads them may have died with the supervisor
            os.dup2(self.log, stream)
        self.connection.close()
        self.errands.close()
        if not self.ranks.forget_leader():
            return False
        begun = time.monotonic()
        connection = self.next_leader.find(self.watch.signs, closed=closed, poll=self.ranks.poll)
        if connection is None:
            return False
        self.connection = connection
        say(f"{self.host} has found a supervisor after {time.monotonic() - begun:.1f} s")
        return True

    def _obey(self, message: Message) -> None:
        match message:
            case OpenPort():
                self.ranks.open_port(message)
            case StartRanks():
                self.ranks.order(message)
            case StartServer():
                self.errands.start_server(message)
            case EndServer():
                self.errands.end_server()
            case ServerAt() | Shutdown():
                self.ranks.tell(message)
            case ListenForLink():
                own = self.connection.ends()[1] if self.named_interface else ""
                self.errands.listen_for_link(message, own)
            case CheckLink():
                self.errands.check_link(message)
            case FetchFromHub():
                self.errands.fetch(message)
            case DumpStacks():
                self.ranks.dump(message)
            case KillRanks():
                self.errands.end_fetch()
                self.ranks.kill()
            case _:  # a Ping says only that the supervisor lives
                pass

    def _send(self, message: Message) -> None:
        self.connection.send(message)

    def _end_all(self) -> None:
        self.errands.close()
        self.ranks.close()


if __name__ == "__main__":
    start_in_utf8()
    sys.exit(main(sys.argv[1:]))
