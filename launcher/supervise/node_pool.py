"""The nodes of this job over all attempts: how they are started, gathered, checked, chosen and ended.

The messages of the command that starts them are passed on to the job's log, and kept for the reason of a failure.
"""

import collections
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import IO, TypeVar

from launcher.clusters.registry import find_cluster
from launcher.errors import Exit
from launcher.plan import LaunchPlan
from launcher.protocol.codec import Message
from launcher.protocol.to_agent import CheckLink, EndAgent, ListenForLink
from launcher.protocol.to_supervisor import LinkChecked, LinkListening
from launcher.run import RunDir
from launcher.run.events.supervisor import Preflight
from launcher.supervise.children import StopSignal
from launcher.supervise.handshake import read_key, remove_key, write_key
from launcher.supervise.hosts import note_faults
from launcher.supervise.link_check import blame_hosts, name_nodes
from launcher.supervise.nodes import Node, Nodes
from launcher.supervise.policy import AttemptContext, EndedAttempt, How
from launcher.supervise.succession import has_gathered, has_quorum
from launcher.timeouts import ADOPT_S, END_AGENTS_S, LATE_S, LINK_S, MOST_CLOCK_SKEW_S
from launcher.units import plural

_POLL_S = 0.05
Answer = TypeVar("Answer", bound=Message)
_KEPT = 20
_NAMED = 8
"""Unfit nodes that a reason names; the events name each."""
_EXIT_CODE = re.compile(r"srun: error: \S+: tasks? \S+: Exited with exit code \d+")
"""Matches a line of srun without a cause: that is said before by what it started, such as a container's program."""
_TRANSIENT = re.compile(
    r"(?i)node failure|communication connection failure|launch for .* failed on node|nodes are busy|socket timed out|timeout|"
    r"unable to contact|job credential|i/o error|cancelled|force terminated|step killed|connection refused"
)
"""Matches messages about a fault that may be gone on other nodes or at another time."""


class NodePool:
    """The job step that holds an agent on every node, and what is known of the nodes."""

    def __init__(
        self,
        run: RunDir,
        plan: LaunchPlan,
        stopped: StopSignal,
        start_step: Callable[[Nodes], subprocess.Popen[bytes]] | None,
        *,
        adopts: bool = False,
    ) -> None:
        """`start_step` starts node.sh on every node; None where that is not possible. `adopts`: whether the agents of an
        earlier supervisor of this job come instead; a step is started only if too few of them do."""
        self.run, self.plan, self.stopped, self._start_step = run, plan, stopped, start_step
        self._adopts = adopts
        self._key = read_key(run) if adopts else write_key(run)
        self.nodes = Nodes(
            plan.rendezvous,
            self._key,
            plan.nodes + plan.spares,
            alone=find_cluster(plan.cluster).one_machine,
        )
        self._step: subprocess.Popen[bytes] | None = None
        self._output: StepOutput | None = None
        self._begun = 0.0

    @property
    def one_machine(self) -> bool:
        """Whether all agents are on the machine of this process."""
        return find_cluster(self.plan.cluster).one_machine

    def good(self) -> list[Node]:
        """The nodes that answer and can have ranks."""
        return [node for node in self.nodes.there() if not node.bad]

    def usable(self) -> int:
        """How many nodes the next attempt can have. On one machine a lost agent is not a lost node: the machine carries this
        process, and the next attempt starts an agent again, unless the check has found the machine unfit."""
        bad = any(node.bad for node in self.nodes.by_index.values())
        if self.one_machine and not bad:
            return self.plan.nodes
        return len(self.good())

    def choose(self, blamed: Iterable[str]) -> list[Node] | EndedAttempt:
        """The nodes of an attempt, by index; LOST if there are too few. Blamed hosts are chosen only if there are no others.
        The last nodes have no ranks if generation.nodes is set: they generate."""
        needed, good = self.plan.nodes, self.good()
        if len(good) < needed:
            bad = [node for node in self.nodes.there() if node.bad]
            reason = "; ".join(f"{node.host}: {node.bad}" for node in bad[:_NAMED])
            reason += f"; and {plural(len(bad) - _NAMED, 'other node')}" if len(bad) > _NAMED else ""
            reason = reason or f"{len(good)} of {needed} nodes answer"
            return EndedAttempt(how=How.LOST, reason=reason, hosts=tuple(node.host for node in bad))
        last = set(blamed)
        chosen = sorted(good, key=lambda node: (node.host in last, node.index))[:needed]
        return sorted(chosen, key=lambda node: node.index)

    def gather(self, context: AttemptContext) -> EndedAttempt | None:
        """None once the agents have said hello and new nodes are checked, else how the attempt ended before its start.

        Starts the job step if none runs.
        """
        if self._keeps_agents():
            self._preflight(context)
            return None
        assert self._start_step is not None
        if self._step is None or self._step.poll() is not None:
            self.nodes.drop()
            self._step, self._begun = self._start_step(self.nodes), time.monotonic()
            self._output = StepOutput(self._step.stderr) if self._step.stderr else None
        expected = self.plan.nodes + self.plan.spares
        while len(self.nodes.by_index) < expected:
            self.nodes.poll(_POLL_S)
            if self.stopped.signal:
                return EndedAttempt(
                    how=How.CUT,
                    code=128 + self.stopped.signal,
                    told=context.explain_signal(self.stopped.signal)[0],
                    reason="stopped before the ranks were started",
                )
            if self._step.poll() is not None:
                return self._step_failed(self._step.returncode)
            limit = self.plan.rendezvous.start_timeout_s
            if time.monotonic() > self._begun + limit:
                if len(self.nodes.there()) >= self.plan.nodes:
                    break
                reason = f"{len(self.nodes.there())} of {expected} nodes answered within cluster.start_timeout_s={limit:g}"
                return EndedAttempt(how=How.LOST, reason=reason)
        self._preflight(context)
        return None

    def adopts_quorum(self) -> bool:
        """Whether enough agents of the job's earlier supervisor come, within ADOPT_S, for this one to lead them."""
        expected, deadline = self.plan.nodes + self.plan.spares, time.monotonic() + ADOPT_S
        while not has_quorum(len(self.nodes.there()), expected):
            if time.monotonic() > deadline or self.stopped.signal:
                return False
            self.nodes.poll(_POLL_S)
        return True

    def wait_for_agents(self) -> bool:
        """Whether this supervisor has enough agents, or can start others, once those of the earlier one have come or ADOPT_S
        has passed."""
        needed, expected = self.plan.nodes, self.plan.nodes + self.plan.spares
        known, joined, deadline = -1, 0.0, time.monotonic() + ADOPT_S
        while (moment := time.monotonic()) < deadline and not self.stopped.signal:
            if (count := len(self.nodes.there())) != known:
                known, joined = count, moment
            if has_gathered(count, expected, needed, moment - joined) or moment - joined > LATE_S:
                break
            self.nodes.poll(_POLL_S)
        return len(self.good()) >= needed or self._start_step is not None

    def _keeps_agents(self) -> bool:
        """Whether the next attempt uses the agents of the job's earlier supervisor. If they are too few, they are ended, and a
        new step is started where that is possible."""
        if self._adopts and self._start_step is not None and len(self.good()) < self.plan.nodes:
            self._adopts = False
            self.nodes.tell(self.nodes.there(), EndAgent())
        return self._adopts

    def _step_failed(self, code: int) -> EndedAttempt:
        """The end of an attempt whose nodes never answered. If none did and the command names no fault of a node, the same
        command would fail again on other nodes."""
        output = self._output
        words = f": {output.words()}" if output and output.words() else ""
        reason = f"the command that starts the nodes ended with exit code {code} before they answered{words}"
        again = bool(self.nodes.by_index) or output is None or output.is_transient() or not words
        # its exit code 1 does not mean what REFUSED means here
        return EndedAttempt(how=How.CRASHED, code=Exit.FAILED if again else Exit.START_FAILED, reason=reason)

    def abandon(self) -> None:
        """Leaves the agents and the job step to the supervisor that has taken the lease."""
        self.nodes.drop()
        self.nodes.close()

    def close(self) -> None:
        """Ends the agents and the job step."""
        self.nodes.tell(self.nodes.there(), EndAgent())
        if self._step is not None:
            try:
                self._step.wait(END_AGENTS_S)
            except subprocess.TimeoutExpired:
                self._step.kill()
                self._step.wait()
        self.nodes.close()
        remove_key(self.run, self._key)

    def _preflight(self, context: AttemptContext) -> None:
        """Marks new nodes that cannot work, by what they have found in themselves and by the links between all nodes."""
        new = [node for node in self.nodes.there() if not node.checked]
        for node in new:
            node.checked = True
            for problem in node.facts.problems:
                self._mark(node, problem, context)
            if abs(skew := node.facts.time - node.since) > MOST_CLOCK_SKEW_S:
                self._mark(node, f"its clock is off by {skew:.0f} s", context)
        good = self.good()
        if new and len(good) > 1 and not self.one_machine:
            ring = name_nodes({node.index: node.host for node in good})
            failed = {ring[index]: why for index, why in self._check_links(good).items()}
            bad = blame_hosts(list(ring.values()), failed)
            for node in good:
                if problem := bad.get(ring[node.index]):
                    self._mark(node, problem, context)

    def _mark(self, node: Node, problem: str, context: AttemptContext) -> None:
        node.bad = problem
        self.run.note(Preflight(attempt=context.number, host=node.host, problem=problem))
        if not self.one_machine:
            note_faults([node.host], "preflight", self.run.name)

    def _check_links(self, ring: list[Node]) -> dict[int, str]:
        """Index -> why the node did not reach the next one, of those that did not; the last one's next is the first."""
        secret = secrets.token_hex(16)
        self.nodes.tell(ring, ListenForLink(secret=secret))
        ports = {index: answer.port for index, answer in self._answers(ring, LinkListening, LINK_S).items()}
        for node, following in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            if following.index in ports:
                self.nodes.tell(
                    [node],
                    CheckLink(
                        address=self.nodes.address_of(following), port=ports[following.index], secret=secret
                    ),
                )
        results = self._answers(ring, LinkChecked, 2 * LINK_S)
        return {
            node.index: results[node.index].error if node.index in results else "no answer"
            for node in ring
            if node.index not in results or results[node.index].error
        }

    def _answers(self, nodes: list[Node], kind: type[Answer], seconds: float) -> dict[int, Answer]:
        """Index -> the node's newest answer of this kind, of the nodes that answer within `seconds`."""
        found: dict[int, Answer] = {}
        deadline = time.monotonic() + seconds
        while len(found) < len(nodes) and time.monotonic() < deadline:
            self.nodes.poll(_POLL_S)
            for node in nodes:
                if answers := self.nodes.answers(node, kind):
                    found[node.index] = answers[-1]
        return found


class StepOutput:
    """Reads the standard error of a step in a thread of its own, and writes it to this process's."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT)
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def words(self) -> str:
        """The command's own message on one line, the newest words last; empty if it wrote nothing. Call it once it has
        ended."""
        self._thread.join(1.0)
        lines = list(self._lines)
        codes = [line for line in lines if _EXIT_CODE.fullmatch(line)]
        rest = [line for line in lines if line not in codes]
        own = [line for line in rest if re.match(r"(srun|slurmstepd|launcher|bash|node\.sh|execve)\b", line)]
        return "; ".join(dict.fromkeys([*(own or rest[-1:]), *codes]))

    def is_transient(self) -> bool:
        """Whether the command names a fault of a node or of the network."""
        return _TRANSIENT.search(" ".join(self._lines)) is not None

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
                if text := line.decode(errors="replace").strip():
                    self._lines.append(text)
