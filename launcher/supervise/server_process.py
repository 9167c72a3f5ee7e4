"""The agent's side of a server that generates answers: a process on this node, and whether it answers."""

import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from launcher import environment
from launcher.processes import death_with_parent, exit_code
from launcher.protocol.places import HOST, PORT
from launcher.protocol.to_agent import StartServer
from launcher.protocol.to_supervisor import ServerState
from launcher.timeouts import END_RANKS_S, SERVER_ANSWER_S, SERVER_CHECK_S, SERVER_SILENT_S

_RANK_VARIABLES = frozenset(
    [
        environment.RANK, environment.LOCAL_RANK, environment.WORLD_SIZE, environment.LOCAL_WORLD_SIZE,
        environment.GROUP_RANK, environment.MASTER_ADDR, environment.MASTER_PORT, environment.USE_AGENT_STORE,
        environment.LEASE, environment.SUPERVISOR,
    ]
)  # fmt: skip
"""Variables that a server must not have: vLLM would take itself for a rank of torchrun."""


class ServerProcess:
    """A server, from its start to its end."""

    def __init__(self, order: StartServer, port: int, env: Mapping[str, str], log: int, folder: Path) -> None:
        """`env`: the variables of the ranks; `log`: a file descriptor; `folder`: where it starts. OSError if the command cannot
        be run."""
        self._order, self._port = order, port
        self.url = f"http://{_bracketed(order.address)}:{port}"
        self._process = subprocess.Popen(
            [word.replace(HOST, order.address).replace(PORT, str(port)) for word in order.words],
            cwd=folder,
            env=server_environment(env, order),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=death_with_parent(),
        )
        self._begun = time.monotonic()
        self._answered: float | None = None
        """time.monotonic() of the newest successful answer; None before the first."""
        self._told = self._closed = False
        self._why = ""
        """Why this process has killed it."""
        threading.Thread(target=self._look, daemon=True).start()

    def poll(self) -> ServerState | None:
        """What is new: it answers for the first time, or it is over; None if nothing is new. A server that never answers in
        time, or no longer answers, is killed."""
        code = self._process.poll()
        if code is not None:
            self._closed = True
            self.kill()  # what it has started
            reason = self._why or f"it ended with exit code {exit_code(code)}"
            if code < 0 and not self._why:
                reason = f"it was ended by signal {-code}"
            return self._state(code=exit_code(code) or 1, reason=reason)
        moment, answered = time.monotonic(), self._answered
        if answered is None:
            if moment - self._begun > self._order.timeout_s:
                self._give_up(
                    f"it did not answer within generation.start_timeout_s={self._order.timeout_s:g}"
                )
        elif moment - answered > SERVER_SILENT_S:
            self._give_up(f"it has not answered for {SERVER_SILENT_S:g} s")
        elif not self._told:
            self._told = True
            return self._state(url=self.url)
        return None

    def kill(self) -> None:
        """Sends SIGKILL to its processes."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def close(self) -> None:
        """Kills it, and returns once it is gone."""
        self._closed = True
        self.kill()
        try:
            self._process.wait(END_RANKS_S)
        except subprocess.TimeoutExpired:  # in an uninterruptible wait
            return

    def _state(self, *, url: str = "", code: int = 0, reason: str = "") -> ServerState:
        return ServerState(serial=self._order.serial, url=url, code=code, reason=reason)

    def _give_up(self, why: str) -> None:
        if not self._why:
            self._why = why
            self.kill()

    def _look(self) -> None:
        """Asks for /health repeatedly, in a thread of its own."""
        while not self._closed:
            if _is_healthy(self._order.address, self._port):
                self._answered = time.monotonic()
            time.sleep(SERVER_CHECK_S)


def server_environment(env: Mapping[str, str], order: StartServer) -> dict[str, str]:
    """The variables of a server: those of the ranks without RANK and the like, the GPUs that it gets, and its own."""
    kept = {name: value for name, value in env.items() if name not in _RANK_VARIABLES}
    visible = kept.get(environment.CUDA_VISIBLE_DEVICES)
    known = visible.split(",") if visible else [str(number) for number in range(order.first_gpu + order.gpus)]
    own = known[order.first_gpu : order.first_gpu + order.gpus]
    devices = {} if visible == "" else {environment.CUDA_VISIBLE_DEVICES: ",".join(own)}
    return {**kept, **devices, **order.environment}


def _is_healthy(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=SERVER_ANSWER_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
