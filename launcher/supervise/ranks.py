"""The ranks of one node in one attempt: how they are started, watched, signalled and killed."""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher import environment
from launcher.processes import stat_fields
from launcher.protocol.channel import received
from launcher.protocol.codec import encode
from launcher.protocol.ranks import FROM_RANK, RankHeartbeat
from launcher.protocol.to_agent import ServerAt, Shutdown
from launcher.protocol.to_supervisor import ProbeResult, RankState
from launcher.run import RunDir
from launcher.supervise.starters import ColdStarter, WarmStarter, kill
from launcher.timeouts import DUMP_S, FIRST_WORD_S, MOST_HEARTBEAT_S


@dataclass
class Rank:
    """One rank, as its agent sees it."""

    number: int
    pid: int
    channel: socket.socket
    stacks: int
    """File descriptor of the memory file to which the rank writes its stacks when it gets STACKS_SIGNAL."""
    begun: float
    """time.monotonic() of its start."""
    changed: float
    """time.monotonic() of its newest heartbeat."""
    phase: str = "start"
    step: int = 0
    code: int | None = None
    probe: ProbeResult | None = None
    stopped: float | None = None
    """Since when its process was seen stopped (SIGSTOP) at every look, and has neither computed nor sent a heartbeat; None for
    one that runs."""
    busy: int = 0
    """Clock ticks for which its process had computed at the newest look."""


class Ranks:
    """All ranks of this node."""

    def __init__(self, starter: ColdStarter | WarmStarter) -> None:
        self.starter = starter
        self.ranks: list[Rank] = []
        self._looked = 0.0
        """time.monotonic() of the last look at the states of the processes."""

    def start(self, numbers: range, env: Mapping[str, str], log: int, listener: socket.socket | None) -> None:
        """Starts the ranks of these global numbers; rank 0 inherits `listener`, the rendezvous socket."""
        self.ranks = []
        for local, number in enumerate(numbers):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            stacks = os.memfd_create("stacks")
            descriptors = {environment.HEARTBEAT_FD: theirs.fileno(), environment.STACKS_FD: stacks}
            if number == 0 and listener is not None:
                descriptors[environment.STORE_FD] = listener.fileno()
            own = {**env, environment.RANK: str(number), environment.LOCAL_RANK: str(local)}
            pid = self.starter.start(own, log, descriptors)
            theirs.close()
            moment = time.monotonic()
            self.ranks.append(Rank(number, pid, ours, stacks, moment, moment))

    def poll(self) -> None:
        """Reads the heartbeats of the ranks, and which of them have ended."""
        for rank in self.ranks:
            self._hear(rank)
        ended = self.starter.ended()
        for rank in self.ranks:
            if rank.pid in ended:
                self._hear(rank)
                rank.code = ended[rank.pid]

    def all_ended(self) -> bool:
        """Whether no rank lives; also true if none was started."""
        return all(rank.code is not None for rank in self.ranks)

    def never_spoke(self) -> bool:
        """Whether a forked rank is stuck before its first heartbeat."""
        moment = time.monotonic()
        return isinstance(self.starter, WarmStarter) and any(
            rank.phase == "start" and rank.code is None and moment - rank.begun > FIRST_WORD_S
            for rank in self.ranks
        )

    def tell(self, message: Shutdown | ServerAt) -> None:
        """Sends a message to all ranks. Each of them reacts to a shutdown at its next step."""
        for rank in self.ranks:
            try:
                rank.channel.send(encode(message))
            except OSError:
                continue

    def kill(self) -> None:
        """Sends SIGKILL to all ranks that live. A rank inside of a collective reacts to no other signal."""
        kill([rank.pid for rank in self.ranks if rank.code is None])

    def dump(self, folder: Path, number: int) -> dict[int, str]:
        """Writes the stacks of all ranks that live to `folder`; rank -> state of its process, T for a stopped one."""
        living = [rank for rank in self.ranks if rank.code is None]
        states = {rank.number: _look(rank.pid)[0] for rank in living}
        for rank in living:
            try:
                os.kill(rank.pid, number)
            except ProcessLookupError:
                continue
        time.sleep(DUMP_S)
        for rank in living:
            size = os.fstat(rank.stacks).st_size
            text = os.pread(rank.stacks, size, 0).decode(errors="replace") or _kernel_stack(rank.pid)
            (folder / f"stacks_rank_{rank.number:05d}.txt").write_text(text)
        return states

    def states(self) -> tuple[RankState, ...]:
        """The state of every rank, in their order. Looks at each process."""
        moment = time.monotonic()
        suspended = moment - self._looked > MOST_HEARTBEAT_S  # this process itself, and not only its ranks
        self._looked = moment
        for rank in self.ranks:
            state, busy = _look(rank.pid) if rank.code is None else ("X", 0)
            if state != "T":
                rank.stopped = None
            elif rank.stopped is None or suspended or busy != rank.busy:
                rank.stopped = moment
            rank.busy = busy
        return tuple(
            RankState(
                phase=rank.phase,
                step=rank.step,
                age_s=round(moment - rank.changed, 3),
                probe=rank.probe,
                stopped_s=0.0 if rank.stopped is None else round(moment - rank.stopped, 3),
            )
            for rank in self.ranks
        )

    def phases(self) -> dict[int, str]:
        """Rank -> its phase."""
        return {rank.number: rank.phase for rank in self.ranks}

    def codes(self) -> dict[int, int]:
        """Rank -> its exit code, of the ranks that have ended."""
        return {rank.number: rank.code for rank in self.ranks if rank.code is not None}

    def close(self) -> None:
        """Closes what belongs to the ranks, once all of them have ended."""
        for rank in self.ranks:
            rank.channel.close()
            os.close(rank.stacks)
        self.ranks = []

    def _hear(self, rank: Rank) -> None:
        for message in received(rank.channel, FROM_RANK, f"rank {rank.number}"):
            if isinstance(message, RankHeartbeat):
                rank.phase, rank.step, rank.probe = message.phase, message.step, message.probe
                rank.changed, rank.stopped = time.monotonic(), None


def rank_environment(world_size: int, here: int) -> dict[str, str]:
    """The variables that all ranks of a node have in common; `here` of them are its own. OMP_NUM_THREADS of a site is kept."""
    threads = max(1, len(os.sched_getaffinity(0)) // here)
    return {
        environment.WORLD_SIZE: str(world_size),
        environment.LOCAL_WORLD_SIZE: str(here),
        environment.USE_AGENT_STORE: "True",  # rank 0 serves the store on the socket that it inherits
        environment.OMP_NUM_THREADS: os.environ.get(environment.OMP_NUM_THREADS, str(threads)),
    }


def open_log(run: RunDir, folder: str, host: str) -> int:
    """A file descriptor that appends to logs/FOLDER/HOST.log."""
    path = run.logs / folder
    path.mkdir(parents=True, exist_ok=True)
    return os.open(path / f"{host}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _look(pid: int) -> tuple[str, int]:
    """State of a process (R, S, D, T, Z or X; X if it is gone), and the clock ticks for which it has computed.

    Source: proc(5), /proc/pid/stat.
    """
    values = stat_fields(pid)
    return (values[0], int(values[11]) + int(values[12])) if values else ("X", 0)


def _kernel_stack(pid: int) -> str:
    """The kernel's stack of a process that wrote none itself, since it is stopped or in an uninterruptible wait."""
    lines = [f"no Python stack: process {pid} is in state {_look(pid)[0]}"]
    for name in ("wchan", "stack"):
        try:
            lines.append(Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8"))
        except OSError:
            continue
    return "\n".join(lines) + "\n"
