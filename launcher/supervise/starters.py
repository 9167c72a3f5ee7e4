"""How an agent starts its ranks: forked by the warm process, or each as a new process.

To import torch, transformers and trl takes seconds and some hundred thousand file-metadata calls per rank. The warm process
does it once per node, for all attempts.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.output import say
from launcher.processes import death_with_parent, exit_code, is_stopped
from launcher.protocol.codec import ProtocolError, decode, encode
from launcher.protocol.ranks import FROM_WARM, ForkRank, RankExited, RankForked, WarmReady
from launcher.timeouts import FORK_S, WARM_READY_S

_LOOK_S = 1.0
"""Seconds between two checks of the state of the warm process."""


class ColdStarter:
    """Starts each rank as a new process, which imports the training stack itself."""

    name = "cold"

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, env: Mapping[str, str], log: int, descriptors: Mapping[str, int]) -> int:
        """The process id of the new rank. It inherits `descriptors`, whose numbers it finds in variables of these names."""
        child = subprocess.Popen(
            [sys.executable, "-m", "launcher.train", str(self._run_dir)],
            env={**env, **{name: str(number) for name, number in descriptors.items()}},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(descriptors.values()),
            start_new_session=True,
            preexec_fn=death_with_parent(),
        )
        self._children[child.pid] = child
        return child.pid

    def ended(self) -> dict[int, int]:
        """Exit codes of ranks that have ended since the last call, by process id."""
        codes = {pid: child.poll() for pid, child in self._children.items()}
        over = {pid: exit_code(code) for pid, code in codes.items() if code is not None}
        for pid in over:
            del self._children[pid]
        return over

    def close(self) -> None:
        """Does nothing: there is no process beside the ranks."""


class WarmStarter:
    """Starts each rank as a fork of a warm process, launcher.train.warm."""

    name = "warm"

    def __init__(self, run_dir: Path, env: Mapping[str, str], log: int) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "launcher.train.warm", str(theirs.fileno()), str(run_dir)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            preexec_fn=death_with_parent(),
        )
        theirs.close()
        self._begun = time.monotonic()
        self._next_look = 0.0
        self._ready: bool | None = None
        self._codes: dict[int, int] = {}
        self._living: set[int] = set()

    def ready(self) -> bool | None:
        """True once the warm process can fork, None while it imports, False when it never will."""
        if self._ready is None:
            self._take()
        if self._ready is None and time.monotonic() - self._begun > WARM_READY_S:
            self._ready = False
        if self._process.poll() is not None:
            self._ready = False
        return self._ready

    def start(self, env: Mapping[str, str], log: int, descriptors: Mapping[str, int]) -> int:
        """The same as ColdStarter.start; OSError if the warm process does not fork in time."""
        names = list(descriptors)
        request = ForkRank(environment=dict(env), descriptors=tuple(names))
        socket.send_fds(self._channel, [encode(request)], [log, *(descriptors[name] for name in names)])
        deadline = time.monotonic() + FORK_S
        while time.monotonic() < deadline:
            pid = self._take()
            if pid is not None:
                self._living.add(pid)
                return pid
            select.select([self._channel], [], [], 0.5)
        raise OSError("the warm process does not fork")

    def ended(self) -> dict[int, int]:
        """The same as ColdStarter.ended."""
        if self._living:
            self._take()
            if self._process.poll() is not None:  # and its ranks with it
                self._codes.update(dict.fromkeys(self._living - set(self._codes), 128 + signal.SIGKILL))
        over = {pid: code for pid, code in self._codes.items() if pid in self._living}
        for pid in over:
            self._living.discard(pid)
            del self._codes[pid]
        return over

    def close(self) -> None:
        """Ends the process."""
        self._channel.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _wake(self) -> None:
        """Continues a warm process that was stopped from outside (SIGSTOP), since it could not report the end of a rank."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_S
        if is_stopped(self._process.pid):
            print(
                "launcher: the warm process was stopped (SIGSTOP); it is continued",
                file=sys.stderr,
                flush=True,
            )
            self._process.send_signal(signal.SIGCONT)

    def _take(self) -> int | None:
        """Reads the messages of the warm process; the process id of the next rank that it has forked, None if it has forked
        none."""
        self._wake()
        while select.select([self._channel], [], [], 0)[0]:
            data = self._channel.recv(1 << 16)
            if not data:
                self._ready = False
                break
            try:
                message = decode(data, FROM_WARM)
            except ProtocolError as error:
                say(f"the warm process sent an invalid message: {error}")
                continue
            if isinstance(message, RankForked):
                return message.pid
            if isinstance(message, RankExited):
                self._codes[message.pid] = exit_code(message.code)
            elif isinstance(message, WarmReady):
                self._ready = message.can_fork
        return None


def kill(pids: Sequence[int], number: int = signal.SIGKILL) -> None:
    """Sends a signal to the process group of each; every rank leads a group of its own."""
    for pid in pids:
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
