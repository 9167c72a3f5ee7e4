"""What an agent does for the leader beside its ranks: a check of a link, a fetch from a hub, a server that generates."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from launcher.ports import choose_port
from launcher.protocol.codec import Message
from launcher.protocol.to_agent import CheckLink, FetchFromHub, ListenForLink, StartServer
from launcher.protocol.to_supervisor import FetchEnded, LinkChecked, LinkListening, ServerState
from launcher.run import RunDir
from launcher.supervise.fetching import FetchProcess
from launcher.supervise.link_check import LinkCheck
from launcher.supervise.ranks import open_log
from launcher.supervise.server_process import ServerProcess


class Errands:
    """The errands of this node that are not over yet, at most one of each kind."""

    def __init__(
        self,
        run: RunDir,
        host: str,
        work_dir: Path,
        ports: tuple[int, int] | None,
        env: Mapping[str, str],
        log: int,
        send: Callable[[Message], None],
    ) -> None:
        """`work_dir`: where a server starts, if it exists here; `ports`: those that may be opened; `env`: the variables of a
        server; `log`: a file descriptor for what a fetch says; `send`: to the leader."""
        self._run, self._host, self._work_dir, self._ports = run, host, work_dir, ports
        self._env, self._log, self._send = env, log, send
        self._link_check: LinkCheck | None = None
        self._fetch: FetchProcess | None = None
        self._server: ServerProcess | None = None

    def listen_for_link(self, order: ListenForLink, own_address: str) -> None:
        """Listens for the node before this one, at that address, or at all if it is empty."""
        self._link_check = LinkCheck(self._ports, order.secret, own_address)
        self._send(LinkListening(port=self._link_check.listen()))

    def check_link(self, order: CheckLink) -> None:
        """Sends to the next node, and reports once it has received this node's data too."""
        if self._link_check is not None:
            self._link_check.send(order.address, order.port, order.secret)

    def fetch(self, order: FetchFromHub) -> None:
        """Starts a fetch, and reports its progress and its end."""
        self._fetch = FetchProcess(order.wanted, os.environ, self._log, self._run.path)

    def start_server(self, order: StartServer) -> None:
        """Starts a server in place of the present one, and reports its states."""
        self.end_server()
        folder = self._work_dir if self._work_dir.is_dir() else self._run.path
        log = open_log(self._run, order.folder, f"{self._host}.server")
        try:
            self._server = ServerProcess(order, choose_port(self._ports), self._env, log, folder)
        except OSError as error:
            reason = f"its command {order.words[0]} cannot be run: {error.strerror}"
            self._send(ServerState(serial=order.serial, url="", code=127, reason=reason))
        finally:
            os.close(log)

    def report(self) -> None:
        """Reports what is new."""
        if self._link_check is not None and self._link_check.result is not None:
            self._send(LinkChecked(error=self._link_check.result))
            self._link_check = None
        if self._fetch is not None and (news := self._fetch.poll()) is not None:
            self._send(news)
            if isinstance(news, FetchEnded):
                self.end_fetch()
        if self._server is not None and (state := self._server.poll()) is not None:
            self._send(state)
            if not state.url:
                self._server = None

    def end_fetch(self) -> None:
        """Kills the fetch, if there is one."""
        if self._fetch is not None:
            self._fetch.close()
            self._fetch = None

    def end_server(self) -> None:
        """Kills the server, if there is one."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """Ends all of them."""
        self.end_fetch()
        self.end_server()
        self._link_check = None
