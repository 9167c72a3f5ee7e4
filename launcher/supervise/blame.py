"""Which rank or host is to blame for the end of an attempt."""

import signal
import time
from collections.abc import Mapping

from launcher.errors import Exit
from launcher.protocol.to_agent import DumpStacks
from launcher.protocol.to_supervisor import StacksDumped
from launcher.run import RunDir
from launcher.run.events.ranks import Crashed
from launcher.supervise.attempt_nodes import AttemptNodes
from launcher.supervise.policy import AttemptContext, EndedAttempt, How
from launcher.supervise.progress import RankProgress
from launcher.timeouts import AGENT_QUIET_S, ANSWER_S

_POLL_S = 0.05
_SETTLE_S = 0.2
"""Seconds for which further ranks may fail because of the first one."""


def failures(codes: Mapping[int, int]) -> dict[int, int]:
    """Rank -> exit code, of the ranks that have failed."""
    return {rank: code for rank, code in codes.items() if code not in (Exit.OK, Exit.SHUT_DOWN)}


def blame_crash(run: RunDir, ranks: AttemptNodes, context: AttemptContext) -> EndedAttempt:
    """Blames a rank that a signal ended, else the first that reported its error; others fail because of that one."""
    moment = time.monotonic() + _SETTLE_S
    while time.monotonic() < moment:
        ranks.nodes.poll(_POLL_S)
    failed = failures(ranks.codes())
    signalled = next((rank for rank, code in failed.items() if code > 128), None)
    crashes = [event for event in run.read_events(Crashed) if event.attempt == context.number]
    if signalled is None and crashes:
        rank, message = crashes[0].rank, crashes[0].told
    else:
        rank, message = next(iter(failed)) if signalled is None else signalled, None
    code = failed.get(rank, next(iter(failed.values())))
    host = ranks.host(rank)
    reason = message or f"rank {rank} on {host} {_how_it_ended(code)}"
    return EndedAttempt(how=How.CRASHED, code=code, reason=reason, hosts=(host,))


def blame_silence(ranks: AttemptNodes, hung: str) -> EndedAttempt | None:
    """The end of an attempt that hangs because a node is silent; None if every node speaks. `hung`: which rank hangs."""
    quiet = [node for node in ranks.used if time.monotonic() - node.heard > AGENT_QUIET_S]
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


def blame_hang(
    ranks: AttemptNodes, progress: RankProgress, context: AttemptContext, hung: str
) -> EndedAttempt:
    """The end of an attempt that hangs. All stacks are written first. The reason names the hosts whose ranks are stopped, wait
    in the kernel for input or output, or are behind."""
    states = _dump_stacks(ranks, context.folder)
    stuck = [rank for rank, state in states.items() if state in "TD"] or progress.behind()
    hosts = tuple(dict.fromkeys(ranks.host(rank) for rank in stuck))
    found = {states.get(rank) for rank in stuck}
    what = "stopped" if "T" in found else "waiting for a disk or a file system" if "D" in found else "behind"
    named = f"; {', '.join(hosts)}: rank {', '.join(map(str, stuck))} {what}" if hosts else ""
    return EndedAttempt(
        how=How.HUNG,
        code=Exit.FAILED,
        hosts=hosts,
        reason=f"{hung}{named}; stacks are in logs/{context.folder}",
    )


def _dump_stacks(ranks: AttemptNodes, folder: str) -> dict[int, str]:
    """Rank -> state of its process, of the ranks on nodes that answer, whose stacks are then written to logs/FOLDER."""
    ranks.nodes.tell(ranks.used, DumpStacks(folder=folder))
    deadline = time.monotonic() + ANSWER_S
    states: dict[int, str] = {}
    answered: set[int] = set()
    while (
        any(node.index not in answered for node in ranks.used if not node.lost)
        and time.monotonic() < deadline
    ):
        ranks.nodes.poll(_POLL_S)
        for node in ranks.used:
            for answer in ranks.nodes.answers(node, StacksDumped):
                answered.add(node.index)
                states |= answer.states
    return states


def _how_it_ended(code: int) -> str:
    if code == 128 + signal.SIGKILL:
        return "was killed (SIGKILL: out of memory, or from outside)"
    return f"was ended by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
