"""python -m launcher.supervise.agent RUN_DIR: start the ranks of this node, as often as the supervisor says.

The environment of a rank is torchrun's (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, ...), so a script that runs under
torchrun runs here. This process imports nothing heavy. The first node binds the rendezvous port and hands the open socket
to rank 0, so nobody can take it in between. Without a supervisor, which is node.sh typed by hand, it starts one attempt.
"""

import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from launcher.errors import Exit, LauncherError, RunError
from launcher.hub import OFFLINE
from launcher.run import RunDir
from launcher.supervise.by_hand import start_by_hand
from launcher.supervise.connection import Connection, ConnectionClosed
from launcher.supervise.fetching import FetchProcess
from launcher.supervise.link_check import LinkCheck
from launcher.supervise.orphaned import queue_again
from launcher.supervise.preflight import look_at_node
from launcher.supervise.ranks import Ranks, open_log, rank_environment
from launcher.supervise.rendezvous import bind, choose_port
from launcher.supervise.starters import ColdStarter, WarmStarter

FENCE_S = 15.0
"""Seconds without a word from the supervisor after which the ranks end: it has given this node up by then."""
_POLL_S = 0.02
_HEARTBEAT_S = 0.5
_CONNECT_S = 60.0
STACKS_SIGNAL = signal.SIGUSR2


def main(argv: list[str]) -> int:
    """The exit code of the node: the first failed rank's, else 0."""
    run = RunDir(Path(argv[0]).resolve())
    try:
        if "LAUNCHER_SUPERVISOR" in os.environ:
            return Agent(run).serve()
        return start_by_hand(run)
    except LauncherError as error:
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        return error.exit_code


class Agent:
    """This node, led by the supervisor."""

    def __init__(self, run: RunDir) -> None:
        # Slurm tells every process of a step to end; when and how the ranks do is the supervisor's to say.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        self.run = run
        self.index = int(os.environ.get("SLURM_NODEID", "0"))
        self.host = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        plan = run.read_json(run.plan)
        topology = plan["topology"]
        self.outlives = plan["cluster"] == "slurm" and plan["spares"] > 0
        """Whether Slurm keeps the job when its batch host is lost."""
        self.ranks_here = int(topology["gpus_per_node"])
        self.world_size = int(topology["world_size"])
        self.wire = _connect()
        self.heard = time.monotonic()
        self.listener: socket.socket | None = None
        self.starting: dict[str, Any] | None = None
        self.stopping = False
        self.log = open_log(run, os.environ.get("LAUNCHER_JOB", "hand"), self.host)
        self.warm: WarmStarter | None = WarmStarter(run.path, self._common(), self.log)
        self.ranks = Ranks(ColdStarter(run.path))
        self.next_heartbeat = 0.0
        self._said: tuple[dict[int, int], dict[int, str]] = ({}, {})
        self.ring: LinkCheck | None = None
        self.fetch: FetchProcess | None = None

    def serve(self) -> int:
        """Until the supervisor says exit, or is gone."""
        self.wire.send(
            kind="hello",
            token=os.environ["LAUNCHER_TOKEN"],
            index=self.index,
            host=self.host,
            facts=look_at_node(self.run),
        )
        try:
            while True:
                select.select([self.wire], [], [], _POLL_S)
                for message in self.wire.receive():
                    self.heard = time.monotonic()
                    if message["kind"] == "exit":
                        return Exit.OK
                    self._obey(message)
                if time.monotonic() - self.heard > FENCE_S:
                    raise ConnectionClosed(f"silent for {FENCE_S:g} s")
                self._go_on()
                self.wire.flush()
        except ConnectionClosed as error:
            print(
                f"launcher: the supervisor is gone ({error}); the ranks of {self.host} end",
                file=sys.stderr,
                flush=True,
            )
            self._end_all()
            job_id = os.environ.get("LAUNCHER_JOB", "")
            if self.outlives and job_id:
                restart = int(os.environ.get("SLURM_RESTART_COUNT", "0") or 0)
                queue_again(self.run, job_id, restart, self.index)
            return Exit.FAILED
        finally:
            self._end_all()

    def _obey(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "prepare":
            self.listener = self.listener or bind(choose_port())
            self.wire.send(kind="prepared", attempt=message["attempt"], port=self.listener.getsockname()[1])
        elif kind == "start":
            self.starting, self.stopping = message, False
        elif kind == "listen":
            self.ring = LinkCheck()
            self.wire.send(kind="listening", port=self.ring.listen())
        elif kind == "ring" and self.ring is not None:
            self.ring.send(message["address"], message["port"])
        elif kind == "fetch":
            self.fetch = FetchProcess(message["wanted"], os.environ, self.log, self.run.path)
        elif kind == "leave":
            self.ranks.request_shutdown()
        elif kind == "dump":
            folder = self.run.logs / message["folder"]
            folder.mkdir(parents=True, exist_ok=True)
            self.wire.send(kind="dumped", states=self.ranks.dump(folder, STACKS_SIGNAL))
        elif kind == "kill":
            self._end_fetch()
            self.starting, self.stopping = None, True
            self.ranks.kill()

    def _go_on(self) -> None:
        if self.starting is not None:
            self._start()
        if self.ring is not None and self.ring.result is not None:
            self.wire.send(kind="rung", error=self.ring.result)
            self.ring = None
        if self.fetch is not None and (said := self.fetch.poll()) is not None:
            self.wire.send(kind="fetch", **said)
            if "code" in said:
                self._end_fetch()
        self.ranks.poll()
        if self.ranks.never_spoke():
            self._give_up_warm()
        if self.stopping and self.ranks.all_ended():
            self.stopping = False
            self.ranks.close()
            self.wire.send(kind="stopped", host=self.host)
        codes = self.ranks.codes()
        # the supervisor lets ranks save by their phase, so it hears of one at once
        news = (codes, self.ranks.phases())
        if time.monotonic() > self.next_heartbeat or news != self._said:
            self._said = news
            self.next_heartbeat = time.monotonic() + _HEARTBEAT_S
            waiting = {"waiting": True} if self.starting is not None else {}
            self.wire.send(kind="beat", ranks=self.ranks.heartbeats(), codes=codes, **waiting)

    def _start(self) -> None:
        """Starts the ranks once the warm process can fork, or without it."""
        ready = self.warm.ready() if self.warm else False
        if ready is None or self.starting is None:
            return
        order, self.starting = self.starting, None
        if ready is False and self.warm is not None:
            self.warm.close()
            self.warm = None
        self.ranks = Ranks(self.warm or ColdStarter(self.run.path))
        first = int(order["first"])
        env = {
            **self._common(),
            "GROUP_RANK": str(first // self.ranks_here),
            "MASTER_ADDR": order["address"],
            "MASTER_PORT": str(order["port"]),
            "LAUNCHER_ATTEMPT": str(order["attempt"]),
            **({"LAUNCHER_MODEL_COMMIT": order["commit"]} if order["commit"] else {}),
        }
        log = open_log(self.run, f"{os.environ.get('LAUNCHER_JOB', 'hand')}_{order['attempt']}", self.host)
        self.order = order
        try:
            self.ranks.start(
                range(first, first + self.ranks_here), env, log, self.listener if first == 0 else None
            )
        except OSError as error:
            print(f"launcher: {self.host}: {error}; ranks are started cold", file=sys.stderr, flush=True)
            self._give_up_warm()
        finally:
            os.close(log)
        if self.listener is not None and self.starting is None:
            self.listener.close()
            self.listener = None

    def _give_up_warm(self) -> None:
        """Starts the same attempt again, each rank a process of its own."""
        self.ranks.kill()
        if self.warm is not None:
            self.warm.close()
            self.warm = None
        self.ranks = Ranks(ColdStarter(self.run.path))
        self.wire.send(
            kind="failed", host=self.host, reason="forked ranks did not begin; they are started cold"
        )

    def _common(self) -> dict[str, str]:
        return {
            **OFFLINE,  # what ranks need is fetched before them; a site's own value stands
            **{key: value for key, value in os.environ.items() if key != "LAUNCHER_TOKEN"},
            **rank_environment(self.world_size, self.ranks_here),
        }

    def _end_fetch(self) -> None:
        if self.fetch is not None:
            self.fetch.close()
            self.fetch = None

    def _end_all(self) -> None:
        self._end_fetch()
        self.ranks.kill()
        deadline = time.monotonic() + 5
        while not self.ranks.all_ended() and time.monotonic() < deadline:
            self.ranks.poll()
            time.sleep(_POLL_S)
        if self.warm is not None:
            self.warm.close()


def _connect() -> Connection:
    host, _, port = os.environ["LAUNCHER_SUPERVISOR"].rpartition(":")
    deadline = time.monotonic() + _CONNECT_S
    while True:
        try:
            return Connection(socket.create_connection((host, int(port)), timeout=5))
        except OSError as error:
            if time.monotonic() > deadline:
                raise RunError(
                    f"{socket.gethostname()} cannot reach the supervisor at {host}:{port} ({error}); is a firewall between "
                    "the nodes of the job?"
                ) from None
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
