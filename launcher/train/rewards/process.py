"""One reward process, as its rank sees it: started, asked with a time-out, found dead, killed, started again."""

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from launcher.errors import ConfigError
from launcher.processes import exit_code
from launcher.train.rewards import worker
from launcher.train.rewards.worker import receive, send

START_S = 300.0
"""Timeout of the first start: the module of a function may load a model."""
_LOOK_S = 0.5
"""Interval between two looks whether the process lives; a child of the function may hold the connection of a dead one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call gave no values."""

    kind: str
    """timeout, raised, died (the process), nan (or infinite), or wrong (something that is not a list of a value per answer)."""
    why: str
    """The end of a sentence that begins with the name of the function."""


class RewardProcess:
    """The process of one reward function."""

    def __init__(self, key: str, target: str, options: dict[str, Any]) -> None:
        """`key`: the function's place in the configuration. `target`: module.function. `options`: its own arguments."""
        self.key, self.target, self.options = key, target, options
        self.starts = 0
        """How often it was started."""
        self.start_s = 0.0
        """Seconds of the first start."""
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._begun = 0.0

    def start(self) -> None:
        """Starts the process, and returns before it has imported the function."""
        self.end()
        ours, theirs = socket.socketpair()
        self._channel, self._begun = ours, time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, worker.__file__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # so that what it has started is killed with it
        )
        theirs.close()
        self.starts += 1
        setup = {"path": sys.path, "rank_pid": os.getpid(), "target": self.target, "options": self.options}
        with contextlib.suppress(OSError):  # it has ended: the first reply says so
            send(ours, pickle.dumps(setup), self._begun + START_S)

    @property
    def pid(self) -> int | None:
        """The process's id; None if it has not started or was ended."""
        return None if self._process is None else self._process.pid

    def start_again(self) -> None:
        """Starts the process if it has ended."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def wait_until_ready(self, deadline: float) -> Failure | None:
        """None once the function is imported; ConfigError if that is not possible. Starts a process that has ended. A process
        that still imports at the deadline is killed only if it was started more than START_S ago."""
        self.start_again()
        if self._ready:
            return None
        patient = time.monotonic() < self._begun + START_S
        reply = self._reply(
            deadline, "was not imported in time after its process had ended", kill=not patient
        )
        if isinstance(reply, Failure):
            return reply
        if "wrong" in reply:
            raise ConfigError(f"{self.key}._target_={self.target} {reply['wrong']}")
        self._ready = True
        self.start_s = self.start_s or time.monotonic() - self._begun
        return None

    def ask(self, request: bytes, deadline: float) -> Failure | None:
        """Sends a request, a pickle; None once it is sent."""
        try:
            send(self._channel, request, deadline)
        except TimeoutError:
            return Failure(kind="timeout", why="did not take its answers in time")
        except OSError:
            return self._died()
        return None

    def answer(self, deadline: float, timeout_s: float) -> dict[str, Any] | Failure:
        """The reply to the request: its values and metrics. After a failure the process is killed, unless it has replied."""
        reply = self._reply(deadline, f"ran longer than {timeout_s:g} s")
        if isinstance(reply, Failure):
            return reply
        if "raised" in reply:
            return Failure(kind="raised", why=f"raised {reply['raised']}")
        return Failure(kind="wrong", why=reply["wrong"]) if "wrong" in reply else reply

    def end(self) -> None:
        """Kills the process and what it has started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()
        self._process, self._ready = None, False

    def _reply(self, deadline: float, late: str, *, kill: bool = True) -> dict[str, Any] | Failure:
        assert self._process is not None
        while True:
            try:
                # the length of a message comes at once, or not at all
                self._channel.settimeout(max(min(_LOOK_S, deadline - time.monotonic()), 1e-3))
                if not self._channel.recv(1, socket.MSG_PEEK):
                    return self._died()
                return json.loads(receive(self._channel, max(deadline, time.monotonic() + _LOOK_S)))
            except TimeoutError:
                if self._process.poll() is not None:
                    return self._died()
                if time.monotonic() >= deadline:
                    if kill:
                        self.end()
                    return Failure(kind="timeout", why=late)
            except (OSError, EOFError):
                return self._died()

    def _died(self) -> Failure:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LOOK_S)
        code = self._process.returncode
        self.end()
        told = (
            "closed its connection" if code is None else f"ended its process with exit code {exit_code(code)}"
        )
        return Failure(kind="died", why=told)
