"""One attempt of the ranks: the leader starts them through the agents, watches them, ends them and finds who is to blame."""

import signal
import time
from collections.abc import Mapping
from dataclasses import replace

from launcher.errors import Exit
from launcher.output import say
from launcher.protocol.agents import (
    DumpStacks,
    KillRanks,
    OpenPort,
    PortOpened,
    RanksEnded,
    Shutdown,
    StacksDumped,
    StartFailed,
    StartRanks,
)
from launcher.run.events import supervisor as noted
from launcher.run.events.checkpoints import Saved
from launcher.run.events.ranks import Crashed
from launcher.supervise.fetching import Fetcher
from launcher.supervise.generation import GenerationServer
from launcher.supervise.hosts import note_faults
from launcher.supervise.lease import Lease
from launcher.supervise.node_pool import NodePool
from launcher.supervise.nodes import Node
from launcher.supervise.pace import HangLimits, SpeedProbes
from launcher.supervise.policy import AttemptContext, EndedAttempt, How, StopReason
from launcher.timeouts import AGENT_QUIET_S, ANSWER_S, SAVE_HANGS, STOPPED_S

_POLL_S = 0.05
_FULL_S = 1.0
"""Seconds between two looks at the ranks of nodes that say nothing."""
_SLOW_S = 150e-6
"""Seconds between two searches for slow hosts, for each rank: 5 s with 32,768 ranks."""
_TRAINING = ("first step", "step", "save", "eval")
"""Phases in which a rank reacts to the order to shut down."""


class AttemptRunner:
    """The ranks on the nodes of a pool, over all attempts."""

    def __init__(self, pool: NodePool, fetcher: Fetcher, lease: Lease) -> None:
        self.pool, self._fetcher, self._lease = pool, fetcher, lease
        self.run, self.plan, self.stopped = pool.run, pool.plan, pool.stopped
        self.nodes = pool.nodes
        save_floor_s = SAVE_HANGS * self.plan.save.timeout_s if self.plan.save else 0.0
        self.limits = HangLimits(step_floor_s=self.plan.hang_timeout_s, save_floor_s=save_floor_s)
        generation = self.plan.generation
        self._server = GenerationServer(pool, generation) if generation and generation.is_server else None
        self._used: list[Node] = []
        """The nodes that train."""
        self._ended: dict[int, int] = {}
        """Exit codes of the ranks of this attempt that have ended."""
        self._last: dict[int, tuple[str, int, float]] = {}
        self._probes = SpeedProbes()
        self._next_full = self._next_slow = self._next_count = 0.0

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
        self._end_ranks()
        return replace(ended, stop_s=time.monotonic() - begun)

    def _start(self, context: AttemptContext) -> EndedAttempt | None:
        chosen = self.pool.choose(context.blamed)
        if isinstance(chosen, EndedAttempt):
            return chosen
        self._used, first = chosen[: self.plan.topology.nodes], chosen[0]
        for node in self._used:
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
        here = self.plan.topology.gpus_per_node
        for place, node in enumerate(self._used):
            self.nodes.tell(
                [node],
                StartRanks(
                    attempt=context.number,
                    first_rank=place * here,
                    address=address,
                    own_address="127.0.0.1" if alone else self.nodes.address_of(node),
                    port=opened[-1].port,
                    lease=self._lease.nonce,
                    model_commit=self._fetcher.commit,
                ),
            )
        self._last, self._ended, self._probes = {}, {}, SpeedProbes()
        if self._server is not None:  # beside the ranks, it is on their last node
            self._server.begin(chosen[-1], self._used, self._fetcher.commit or "main", context)
        return None

    def _watch(self, context: AttemptContext) -> EndedAttempt:
        cause: StopReason | None = None
        heard: int | None = None
        can_save, deadline = False, 0.0
        world_size, used = self.plan.topology.world_size, {node.index for node in self._used}
        while True:
            self.nodes.poll(_POLL_S)
            spoke = [node for node in self.nodes.spoke() if node.index in used]
            for node in spoke:
                self._ended.update(node.codes)
            codes = self._ended
            failed = _failures(codes)
            if failed and cause is None:
                return self._crashed(context)
            if len(codes) == world_size:
                if set(codes.values()) == {int(Exit.OK)}:
                    return EndedAttempt(how=How.FINISHED)
                if not failed:
                    return EndedAttempt(
                        how=How.SHUT_DOWN,
                        told=cause or StopReason.NOTHING,
                        reason=self._shutdown_reason(cause),
                    )
            if self._lease.lost:
                return EndedAttempt(
                    how=How.FENCED,
                    reason=f"another job has taken the lease of {self.run.path}; this one ends",
                )
            lost = next((node for node in self._used if node.lost), None)
            if lost is not None:
                return EndedAttempt(how=How.LOST, hosts=(lost.host,), reason=f"{lost.host}: {lost.lost}")
            if self._is_minority():
                return EndedAttempt(how=How.LOST, reason="fewer than half of the nodes answer")
            refused = [answer for node in spoke for answer in self.nodes.answers(node, StartFailed)]
            if refused:
                return EndedAttempt(
                    how=How.CRASHED, code=Exit.FAILED, reason=f"{refused[0].host}: {refused[0].reason}"
                )
            ended = self._server.look(context) if self._server is not None and cause is None else None
            if ended is not None:
                return ended
            if self.stopped.signal not in (
                None,
                heard,
            ):  # a cancel may come after the warning of the time limit
                came = time.monotonic()
                if heard is None:
                    can_save = (
                        self.plan.save is not None
                        and self.stopped.signal != signal.SIGUSR2
                        and all(self._phase(rank) in _TRAINING for rank in range(world_size))
                    )
                    if can_save:  # before anything else, because the time may be short
                        self.nodes.tell(self._used, Shutdown())
                heard = self.stopped.signal
                cause, seconds = context.explain_signal(heard)
                deadline = came + seconds if can_save else 0.0
                self.run.note(noted.Told(attempt=context.number, why=cause.value, seconds=round(seconds, 1)))
            if cause is not None and (time.monotonic() > deadline or self.stopped.again or failed):
                why = f"{self._shutdown_reason(cause)}{self._saved_or_not(context, cause)}"
                return EndedAttempt(
                    how=How.CUT, code=128 + (self.stopped.signal or 15), told=cause, reason=why
                )
            hung = self._find_hung(spoke)
            self._name_slow(context)
            if hung is not None:
                return self._quiet(hung) or self._hung(context, hung)

    def _is_minority(self) -> bool:
        """Whether this supervisor has lost more than half of its nodes; looked at once a second."""
        if time.monotonic() < self._next_count:
            return False
        self._next_count = time.monotonic() + _FULL_S
        return self.nodes.is_minority()

    def _saved_or_not(self, context: AttemptContext, cause: StopReason) -> str:
        """Whether the ranks made the requested save before they were ended; empty if no save was requested."""
        if cause is StopReason.PRUNED:
            return ""
        events = self.run.read_events(Saved, noted.Told)
        since = max(
            (at for at, event in enumerate(events) if isinstance(event, noted.Told)), default=len(events)
        )
        saved = [event.step for event in events[since:] if isinstance(event, Saved)]
        if saved:
            return f"; step {saved[-1]} is saved, but the ranks did not end in time"
        return "; the ranks could not save in time"

    def _phase(self, rank: int) -> str:
        state = self._used[rank // self.plan.topology.gpus_per_node].heartbeats.get(rank)
        return state.phase if state else "start"

    @staticmethod
    def _shutdown_reason(cause: StopReason | None) -> str:
        return cause.value if cause else "the ranks saved and shut down by themselves"

    def _codes(self) -> dict[int, int]:
        """Exit codes of the ranks that have ended."""
        return {rank: code for node in self._used for rank, code in node.codes.items()}

    def _crashed(self, context: AttemptContext) -> EndedAttempt:
        """Blames a rank that a signal ended, else the first that reported its error; others fail because of that one."""
        moment = time.monotonic() + 0.2
        while time.monotonic() < moment:
            self.nodes.poll(_POLL_S)
        failed = _failures(self._codes())
        signalled = next((rank for rank, code in failed.items() if code > 128), None)
        crashes = [event for event in self.run.read_events(Crashed) if event.attempt == context.number]
        if signalled is None and crashes:
            rank, message = crashes[0].rank, crashes[0].told
        else:
            rank, message = next(iter(failed)) if signalled is None else signalled, None
        code = failed.get(rank, next(iter(failed.values())))
        host = self._host(rank)
        reason = message or f"rank {rank} on {host} {_how_it_ended(code)}"
        return EndedAttempt(how=How.CRASHED, code=code, reason=reason, hosts=(host,))

    def _find_hung(self, spoke: list[Node]) -> str | None:
        """Which rank hangs, as a sentence, or None; also teaches the limits how long phases take. Looks at the nodes that have
        spoken, and once a second at all."""
        moment = time.monotonic()
        if moment > self._next_full:
            self._next_full = moment + _FULL_S
            spoke = self._used
        waiting, since = self._waiting_since()
        for node in spoke:
            for rank, (phase, step, age_s, probe, stopped_s) in node.heartbeats.items():
                if probe is not None:
                    self._probes.note(rank, node.host, *probe)
                if stopped_s > STOPPED_S and rank not in node.codes:
                    # every phase has this limit, because none is slow for this reason
                    limit = STOPPED_S if self._others_run(rank) else self.plan.hang_timeout_s
                    if stopped_s > limit:
                        what = f"was stopped from outside (SIGSTOP) in phase '{phase}' at step {step}"
                        return f"rank {rank} on {node.host} {what} for more than {limit:g} s"
                changed = node.heard - age_s
                before = self._last.get(rank)
                if before is None or before[:2] != (phase, step):
                    if before is not None:
                        steps = max(1, step - before[1]) if before[0] == phase == "step" else 1
                        self.limits.note(before[0], (changed - before[2]) / steps, steps)
                    self._last[rank] = (phase, step, changed)
                elif waiting or rank in node.codes:
                    continue
                elif moment - max(changed, since) > self.limits.limit_s(phase):
                    limit = self.limits.limit_s(phase)
                    return f"rank {rank} on {node.host} has been in phase '{phase}' at step {step} for more than {limit:.0f} s"
        return None

    def _waiting_since(self) -> tuple[bool, float]:
        """Whether ranks may be waiting for a server, which is no hang, and time.monotonic() since which it answers."""
        if self._server is None:
            return False, 0.0
        since = self._server.ready_since
        return since is None, since or 0.0

    def _others_run(self, rank: int) -> bool:
        """Whether another rank is alive and not stopped, so that not the whole job is suspended."""
        return any(
            other != rank and not state.stopped_s and other not in node.codes
            for node in self._used
            for other, state in node.heartbeats.items()
        )

    def _name_slow(self, context: AttemptContext) -> None:
        moment = time.monotonic()
        if moment < self._next_slow:
            return
        self._next_slow = moment + _SLOW_S * self.plan.topology.world_size
        for host, relative in self._probes.find_slow().items():
            self.run.note(noted.Slow(attempt=context.number, host=host, relative=round(relative, 3)))
            note_faults([host], "slow", self.run.name)
            say(f"{host} computes at {relative:.2f} of the others' speed")

    def _quiet(self, hung: str) -> EndedAttempt | None:
        """The end of an attempt that hangs because a node is silent; None if every node speaks."""
        quiet = [node for node in self._used if time.monotonic() - node.heard > AGENT_QUIET_S]
        if not quiet:
            return None
        for node in quiet:
            node.silent, node.lost = (
                True,
                f"it has not answered for {AGENT_QUIET_S:g} s, and no rank advances",
            )
        return EndedAttempt(
            how=How.LOST,
            hosts=tuple(node.host for node in quiet),
            reason=f"{quiet[0].host}: {quiet[0].lost} ({hung})",
        )

    def _hung(self, context: AttemptContext, hung: str) -> EndedAttempt:
        """The end of an attempt that hangs: has all stacks written, and names the hosts whose ranks are stopped or behind."""
        self.nodes.tell(self._used, DumpStacks(folder=context.folder))
        deadline = time.monotonic() + ANSWER_S
        states: dict[int, str] = {}
        answered: set[int] = set()
        while (
            any(node.index not in answered for node in self._used if not node.lost)
            and time.monotonic() < deadline
        ):
            self.nodes.poll(_POLL_S)
            for node in self._used:
                for answer in self.nodes.answers(node, StacksDumped):
                    answered.add(node.index)
                    states |= answer.states
        stuck = [rank for rank, state in states.items() if state in "TD"]
        if not stuck:
            steps = {rank: step for rank, (_, step, _) in self._last.items()}
            stuck = [rank for rank, step in steps.items() if step < max(steps.values())]
        hosts = tuple(dict.fromkeys(self._host(rank) for rank in stuck))
        named = (
            f"; {', '.join(hosts)}: rank {', '.join(map(str, stuck))} "
            + ("stopped" if any(states.get(rank) == "T" for rank in stuck) else "behind")
            if hosts
            else ""
        )
        return EndedAttempt(
            how=How.HUNG,
            code=Exit.FAILED,
            hosts=hosts,
            reason=f"{hung}{named}; stacks are in logs/{context.folder}",
        )

    def _end_ranks(self) -> None:
        if self._server is not None:
            self._server.end()
        living = [node for node in self._used if not node.lost]
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

    def _host(self, rank: int) -> str:
        place = rank // self.plan.topology.gpus_per_node
        return self._used[place].host if place < len(self._used) else "?"


def _failures(codes: Mapping[int, int]) -> dict[int, int]:
    """Rank -> exit code, of the ranks that have failed."""
    return {rank: code for rank, code in codes.items() if code not in (Exit.OK, Exit.SHUT_DOWN)}


def _how_it_ended(code: int) -> str:
    if code == 128 + signal.SIGKILL:
        return "was killed (SIGKILL: out of memory, or from outside)"
    return f"was ended by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
