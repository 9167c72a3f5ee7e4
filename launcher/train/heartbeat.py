"""What a rank tells the node's starter while it works, and how it hears that it should leave."""

import faulthandler
import json
import os
import signal
import socket
import time

_LEAST_S = 0.1
"""Seconds between two words about steps."""
_SIGNAL = signal.SIGUSR2


class Heartbeat:
    """One rank's line to its starter. Without a starter, which is torchrun or a shell, it says nothing."""

    def __init__(self) -> None:
        descriptor = os.environ.pop("LAUNCHER_HEARTBEAT_FD", None)
        stacks = os.environ.pop("LAUNCHER_STACKS_FD", None)
        self._socket = socket.socket(fileno=int(descriptor)) if descriptor else None
        self._phase, self._step, self._sent = "", 0, 0.0
        self._shutdown = False
        self._probe: list[float] | None = None
        if self._socket is not None:
            self._socket.setblocking(False)
            # The supervisor tells when to leave; Slurm's TERM, which comes to all, and to loader workers too, must not.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, signal.SIG_IGN)
        if stacks:
            faulthandler.register(_SIGNAL, file=int(stacks), all_threads=True)

    def phase(self, name: str, step: int | None = None) -> None:
        """Says what this rank does now: import, load, data, first step, step, save, eval, export."""
        step = self._step if step is None else step
        moment = time.monotonic()
        if name == self._phase and moment - self._sent < _LEAST_S:
            self._step = step
            return
        self._phase, self._step, self._sent = name, step, moment
        if self._socket is not None:
            try:
                said = {"phase": name, "step": step, "probe": self._probe}
                self._socket.send(json.dumps(said).encode())
            except OSError:  # its buffer is full: the next word says more
                return

    def probed(self, seconds: float) -> None:
        """Says with the next word how long a probe of this rank's speed took."""
        self._probe = [self._probe[0] + 1 if self._probe else 1, round(seconds, 6)]

    def shutdown_requested(self) -> bool:
        """Whether this rank was told to save and end."""
        if self._socket is not None and not self._shutdown:
            try:
                self._shutdown = bool(self._socket.recv(64))
            except OSError:
                return False
        return self._shutdown
