"""What a rank reports to the agent of its node while it works, and how it hears that it should shut down."""

import faulthandler
import os
import signal
import socket
import time

from launcher import environment
from launcher.protocol.channel import received
from launcher.protocol.codec import encode
from launcher.protocol.ranks import STACKS_SIGNAL, TO_RANK, RankHeartbeat
from launcher.protocol.to_agent import ServerAt
from launcher.protocol.to_supervisor import ProbeResult

_LEAST_S = 0.1
"""Least number of seconds between two heartbeats of one phase."""


class Heartbeat:
    """One rank's connection to its agent. If torchrun or a shell has started the rank, there is no agent and it does
    nothing."""

    def __init__(self) -> None:
        descriptor = os.environ.pop(environment.HEARTBEAT_FD, None)
        stacks = os.environ.pop(environment.STACKS_FD, None)
        self._socket = socket.socket(fileno=int(descriptor)) if descriptor else None
        self._phase, self.step, self._sent = "", 0, 0.0
        self._shutdown = False
        self._server: ServerAt | None = None
        self._probe: ProbeResult | None = None
        if self._socket is not None:
            self._socket.setblocking(False)
            # The supervisor decides when a rank shuts down. Slurm sends SIGTERM to every process, loader workers included,
            # and it must end none of them.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, signal.SIG_IGN)
        if stacks:
            faulthandler.register(STACKS_SIGNAL, file=int(stacks), all_threads=True)

    @property
    def heard(self) -> bool:
        """Whether there is an agent that hears it."""
        return self._socket is not None

    def phase(self, name: str, step: int | None = None) -> None:
        """Reports what this rank does now: import, load, data, first step, step, save, eval or export."""
        step = self.step if step is None else step
        moment = time.monotonic()
        if name == self._phase and moment - self._sent < _LEAST_S:
            self.step = step
            return
        self._phase, self.step, self._sent = name, step, moment
        if self._socket is not None:
            try:
                self._socket.send(encode(RankHeartbeat(phase=name, step=step, probe=self._probe)))
            except OSError:  # the buffer is full, and the next heartbeat says more
                return

    def probed(self, seconds: float, waited_s: float) -> None:
        """Keeps a measurement of this rank's speed for the next heartbeat."""
        number = self._probe.number + 1 if self._probe else 1
        self._probe = ProbeResult(number=number, seconds=round(seconds, 6), waited_s=round(waited_s, 6))

    def shutdown_requested(self) -> bool:
        """Whether this rank was requested to save and shut down."""
        self._receive()
        return self._shutdown

    def server(self) -> ServerAt | None:
        """The newest server that generates answers; None before there is one."""
        self._receive()
        return self._server

    def _receive(self) -> None:
        """Takes what the agent has sent."""
        if self._socket is None:
            return
        for message in received(self._socket, TO_RANK, "the agent of this node"):
            if isinstance(message, ServerAt):
                self._server = message
            else:
                self._shutdown = True
