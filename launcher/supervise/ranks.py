"""The ranks of one node in one attempt: started, watched, told, ended."""

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.run import RunDir
from launcher.supervise.starters import ColdStarter, WarmStarter, kill

FORK_S = 20.0
"""Seconds in which a forked rank must have said its first word; else it is started cold."""


@dataclass
class Rank:
    """One rank."""

    number: int
    pid: int
    channel: socket.socket
    stacks: int
    """A memory file into which the rank writes its stacks when it is asked to."""
    begun: float
    changed: float
    phase: str = "start"
    step: int = 0
    code: int | None = None
    probe: list[float] | None = None
    """Number and seconds of its newest probe."""
    stopped: float | None = None
    """Since when its process was seen stopped (SIGSTOP) at every look and has said nothing."""


class Ranks:
    """All ranks of this node."""

    def __init__(self, starter: ColdStarter | WarmStarter) -> None:
        self.starter = starter
        self.ranks: list[Rank] = []

    def start(self, numbers: range, env: Mapping[str, str], log: int, listener: socket.socket | None) -> None:
        """Starts them; `listener` is the rendezvous socket, for rank 0."""
        self.ranks = []
        for local, number in enumerate(numbers):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            stacks = os.memfd_create("stacks")
            descriptors = {"LAUNCHER_HEARTBEAT_FD": theirs.fileno(), "LAUNCHER_STACKS_FD": stacks}
            if number == 0 and listener is not None:
                descriptors["LAUNCHER_STORE_FD"] = listener.fileno()
            own = {**env, "RANK": str(number), "LOCAL_RANK": str(local)}
            pid = self.starter.start(own, log, descriptors)
            theirs.close()
            moment = time.monotonic()
            self.ranks.append(Rank(number, pid, ours, stacks, moment, moment))

    def poll(self) -> None:
        """Reads what the ranks say and which have ended."""
        for rank in self.ranks:
            self._hear(rank)
        ended = self.starter.ended()
        for rank in self.ranks:
            if rank.pid in ended:
                self._hear(rank)
                rank.code = ended[rank.pid]

    def all_ended(self) -> bool:
        """Whether none lives; also where none was started."""
        return all(rank.code is not None for rank in self.ranks)

    def never_spoke(self) -> bool:
        """Whether a forked rank is stuck before its first word."""
        moment = time.monotonic()
        return isinstance(self.starter, WarmStarter) and any(
            rank.phase == "start" and rank.code is None and moment - rank.begun > FORK_S
            for rank in self.ranks
        )

    def request_shutdown(self) -> None:
        """Each rank hears it at its next step."""
        for rank in self.ranks:
            try:
                rank.channel.send(b"leave")
            except OSError:
                continue

    def kill(self) -> None:
        """SIGKILL to all that live. A rank in a collective hears nothing less."""
        kill([rank.pid for rank in self.ranks if rank.code is None])

    def dump(self, folder: Path, number: int) -> dict[int, str]:
        """Writes every rank's stacks under `folder`; the state of each process, T for one that is stopped."""
        living = [rank for rank in self.ranks if rank.code is None]
        states = {rank.number: _state(rank.pid) for rank in living}
        for rank in living:
            try:
                os.kill(rank.pid, number)
            except ProcessLookupError:
                continue
        time.sleep(0.5)
        for rank in living:
            size = os.fstat(rank.stacks).st_size
            text = os.pread(rank.stacks, size, 0).decode(errors="replace") or _kernel_stack(rank.pid)
            (folder / f"stacks_rank_{rank.number:05d}.txt").write_text(text)
        return states

    def heartbeats(self) -> dict[int, list[Any]]:
        """rank -> [phase, step, seconds since that changed, [number, seconds] of its newest probe, seconds since its process
        was first seen stopped]; 0 of one that is not. Looks at each process."""
        moment = time.monotonic()
        for rank in self.ranks:
            if rank.code is not None or _state(rank.pid) != "T":
                rank.stopped = None
            elif rank.stopped is None:
                rank.stopped = moment
        return {
            rank.number: [
                rank.phase,
                rank.step,
                round(moment - rank.changed, 3),
                rank.probe,
                0.0 if rank.stopped is None else round(moment - rank.stopped, 3),
            ]
            for rank in self.ranks
        }

    def phases(self) -> dict[int, str]:
        """What each rank does."""
        return {rank.number: rank.phase for rank in self.ranks}

    def codes(self) -> dict[int, int]:
        """Exit codes of the ranks that have ended."""
        return {rank.number: rank.code for rank in self.ranks if rank.code is not None}

    def close(self) -> None:
        """Forgets ranks that have ended."""
        for rank in self.ranks:
            rank.channel.close()
            os.close(rank.stacks)
        self.ranks = []

    def _hear(self, rank: Rank) -> None:
        while True:
            try:
                data = rank.channel.recv(4096)
            except OSError:
                return
            if not data:
                return
            said = json.loads(data)
            rank.phase, rank.step, rank.changed = said["phase"], said["step"], time.monotonic()
            rank.probe, rank.stopped = said["probe"], None


def rank_environment(world_size: int, here: int) -> dict[str, str]:
    """The environment that all ranks of a node have in common; `here` of them are its own. A site's thread count stands."""
    threads = max(1, len(os.sched_getaffinity(0)) // here)
    return {
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(here),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # rank 0 serves the store on the socket that it inherits
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
    }


def open_log(run: RunDir, folder: str, host: str) -> int:
    """A descriptor that appends to logs/FOLDER/HOST.log."""
    path = run.logs / folder
    path.mkdir(parents=True, exist_ok=True)
    return os.open(path / f"{host}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _state(pid: int) -> str:
    """R, S, D, T, Z or X; X where it is gone. Source: proc(5), /proc/pid/stat."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def _kernel_stack(pid: int) -> str:
    """What the kernel says of a process that wrote no stack itself: stopped, or in an uninterruptible wait."""
    lines = [f"no Python stack: process {pid} is in state {_state(pid)}"]
    for name in ("wchan", "stack"):
        try:
            lines.append(Path(f"/proc/{pid}/{name}").read_text())
        except OSError:
            continue
    return "\n".join(lines) + "\n"
