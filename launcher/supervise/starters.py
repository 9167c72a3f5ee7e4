"""How a node starts its ranks: forked by a process that has imported the training stack, or each from nothing.

Importing torch, transformers and trl takes seconds and makes some hundred thousand file-metadata calls a rank. The warm
process does it once a node and once for all attempts.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher.processes import die_with_parent, exit_code

READY_S = 300.0
"""Seconds that the warm process has to import the stack."""
_FORK_S = 5.0
"""Seconds that it has to fork; the supervisor gives up a node that is silent for longer."""


class ColdStarter:
    """A process of its own for each rank."""

    name = "cold"

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, env: Mapping[str, str], log: int, descriptors: Mapping[str, int]) -> int:
        """The rank's process id; `descriptors` are inherited, and their numbers put under these names."""
        child = subprocess.Popen(
            [sys.executable, "-m", "launcher.train", str(self._run_dir)],
            env={**env, **{name: str(number) for name, number in descriptors.items()}},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(descriptors.values()),
            start_new_session=True,
            preexec_fn=die_with_parent,
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
        """Nothing is left where all ranks have ended."""


class WarmStarter:
    """The client of one warm process, launcher.train.warm."""

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
            preexec_fn=die_with_parent,
        )
        theirs.close()
        self._begun = time.monotonic()
        self._ready: bool | None = None
        self._codes: dict[int, int] = {}
        self._living: set[int] = set()

    def ready(self) -> bool | None:
        """True once it can fork, None while it imports, False when it never will."""
        if self._ready is None:
            self._take()
        if self._ready is None and time.monotonic() - self._begun > READY_S:
            self._ready = False
        if self._process.poll() is not None:
            self._ready = False
        return self._ready

    def start(self, env: Mapping[str, str], log: int, descriptors: Mapping[str, int]) -> int:
        """As ColdStarter.start; OSError where it does not answer."""
        names = list(descriptors)
        request = json.dumps({"env": dict(env), "names": names}).encode()
        socket.send_fds(self._channel, [request], [log, *(descriptors[name] for name in names)])
        deadline = time.monotonic() + _FORK_S
        while time.monotonic() < deadline:
            pid = self._take()
            if pid is not None:
                self._living.add(pid)
                return pid
            select.select([self._channel], [], [], 0.5)
        raise OSError("the warm process does not fork")

    def ended(self) -> dict[int, int]:
        """As ColdStarter.ended."""
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

    def _take(self) -> int | None:
        """Reads what has come: whether it is ready, how ranks ended; the process id of a new rank."""
        started: int | None = None
        while started is None and select.select([self._channel], [], [], 0)[0]:
            data = self._channel.recv(1 << 16)
            if not data:
                self._ready = False
                break
            message: dict[str, Any] = json.loads(data)
            if "ready" in message:
                self._ready = bool(message["ready"])
            if "ended" in message:
                self._codes[message["ended"]] = exit_code(message["code"])
            started = message.get("started")
        return started


def kill(pids: Sequence[int], number: int = signal.SIGKILL) -> None:
    """A signal to the process group of each; a rank leads its own."""
    for pid in pids:
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
