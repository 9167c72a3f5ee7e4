"""The ranks of this node, as the leader orders: how they are started, what is reported of them, and how they end."""

import errno
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from launcher import environment
from launcher.hub import OFFLINE, hides_token
from launcher.output import say
from launcher.ports import bind, choose_port
from launcher.protocol.codec import Message
from launcher.protocol.ranks import STACKS_SIGNAL
from launcher.protocol.to_agent import DumpStacks, OpenPort, ServerAt, Shutdown, StartRanks
from launcher.protocol.to_supervisor import NodeHeartbeat, PortOpened, RanksEnded, StacksDumped, StartFailed
from launcher.run import RunDir
from launcher.supervise.addresses import LOOPBACK, interface_of, is_loopback
from launcher.supervise.preflight import nccl_variables
from launcher.supervise.ranks import Ranks, open_log, rank_environment
from launcher.supervise.starters import ColdStarter, WarmStarter
from launcher.timeouts import END_RANKS_S, heartbeat_s

_POLL_S = 0.02


class NodeRanks:
    """The ranks of this node over all attempts."""

    def __init__(
        self, run: RunDir, plan: Mapping[str, Any], host: str, log: int, send: Callable[[Message], None]
    ) -> None:
        """Starts the warm process. `log`: a file descriptor for what it says; `send`: to the leader."""
        self._run, self._host, self._send = run, host, send
        topology, rendezvous = plan["topology"], plan["rendezvous"]
        self._here = int(topology["gpus_per_node"])
        self.ports: tuple[int, int] | None = tuple(rendezvous["ports"]) if rendezvous["ports"] else None
        self._named_network = bool(rendezvous["host_suffix"])
        """Whether the configuration chooses the network by a suffix of the hosts' names (cluster.host_suffix)."""
        self._heartbeat_s = heartbeat_s(int(topology["nodes"]))
        nccl = nccl_variables(os.environ) if plan["device"] == "cuda" else {}
        for name, value in nccl.items():
            say(f"{host}: {name}={value} is set, because these GPUs need it")
        self.common = {
            **hides_token(os.environ),
            **OFFLINE,  # what the ranks need is fetched before; a value of the site is kept
            **os.environ,
            **rank_environment(int(topology["world_size"]), self._here),
            **nccl,
        }
        """The variables of every process that is started for the ranks."""
        self._warm: WarmStarter | None = WarmStarter(run.path, self.common, log)
        self._ranks = Ranks(ColdStarter(run.path))
        self._listener: socket.socket | None = None
        self._order: StartRanks | None = None
        """An order that waits for the warm process."""
        self._killing = False
        """Whether the supervisor waits for RanksEnded."""
        self._server_at: ServerAt | None = None
        """Where a server answers, for ranks that are not started yet."""
        self._first_rank = 0
        self._next_heartbeat = 0.0
        self._reported: tuple[dict[int, int], dict[int, str]] = ({}, {})

    def open_port(self, order: OpenPort) -> None:
        """Opens the socket at which the ranks meet, which rank 0 inherits."""
        self._listener = self._listener or self._bind(order.address)
        self._send(PortOpened(attempt=order.attempt, port=self._listener.getsockname()[1]))

    def order(self, order: StartRanks) -> None:
        """Starts the ranks as soon as the warm process can fork them."""
        self._order, self._killing, self._server_at = order, False, None

    def tell(self, message: Shutdown | ServerAt) -> None:
        """Sends a message to all ranks; where a server answers, also to those that are not started yet."""
        if isinstance(message, ServerAt):
            self._server_at = message
        self._ranks.tell(message)

    def dump(self, order: DumpStacks) -> None:
        """Writes the stacks of all ranks."""
        folder = self._run.logs / order.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._send(StacksDumped(states=self._ranks.dump(folder, STACKS_SIGNAL)))

    def kill(self) -> None:
        """Kills the ranks, and reports once all have ended."""
        self._order, self._killing = None, True
        self._ranks.kill()

    def start_ordered(self) -> None:
        """Starts the ranks that were ordered once the warm process can fork them, or without it if it never will."""
        if self._order is None:
            return
        ready = self._warm.ready() if self._warm else False
        if ready is None:
            return
        order, self._order = self._order, None
        if ready is False and self._warm is not None:
            self._warm.close()
            self._warm = None
        self._ranks = Ranks(self._warm or ColdStarter(self._run.path))
        self._first_rank = order.first_rank
        log = open_log(self._run, f"{os.environ.get(environment.JOB, 'hand')}_{order.attempt}", self._host)
        numbers = range(order.first_rank, order.first_rank + self._here)
        try:
            listener = self._listener if order.first_rank == 0 else None
            self._ranks.start(numbers, self._variables(order), log, listener)
            if self._server_at is not None:
                self._ranks.tell(self._server_at)
        except OSError as error:
            say(f"{self._host}: {error}; the ranks are started without the warm process")
            self._give_up_warm()
        finally:
            os.close(log)
        self._close_listener()

    def poll(self) -> None:
        """Reads what the ranks say and which have ended, without a report."""
        self._ranks.poll()

    def report(self) -> None:
        """Reads what the ranks say, and reports it when something is new, and at every heartbeat."""
        self._ranks.poll()
        if self._ranks.never_spoke():
            self._give_up_warm()
        if self._killing and self._ranks.all_ended():
            self._killing = False
            self._ranks.close()
            self._send(RanksEnded(host=self._host))
        codes = self._ranks.codes()
        # The supervisor orders a shutdown by the phases of the ranks, so a new phase is reported at once.
        report = (codes, self._ranks.phases())
        if time.monotonic() > self._next_heartbeat or report != self._reported:
            self._reported = report
            self._next_heartbeat = time.monotonic() + self._heartbeat_s
            self._send(
                NodeHeartbeat(
                    first_rank=self._first_rank,
                    ranks=self._ranks.states(),
                    codes=codes,
                    waiting=self._order is not None,
                )
            )

    def forget_leader(self) -> bool:
        """Ends the ranks, and forgets what the lost leader has ordered and what was reported to it; the warm process stays.
        False if a rank does not end."""
        self._end()
        if not self._ranks.all_ended():
            return False
        self._ranks.close()
        self._order, self._killing, self._server_at = None, False, None
        self._reported = ({}, {})
        self._close_listener()
        return True

    def close(self) -> None:
        """Ends the ranks and the warm process."""
        self._end()
        if self._warm is not None:
            self._warm.close()

    def _end(self) -> None:
        self._ranks.kill()
        deadline = time.monotonic() + END_RANKS_S
        while not self._ranks.all_ended() and time.monotonic() < deadline:
            self._ranks.poll()
            time.sleep(_POLL_S)

    def _give_up_warm(self) -> None:
        """Ends this attempt's ranks and the warm process; the next attempt starts each rank as a new process."""
        self._ranks.kill()
        if self._warm is not None:
            self._warm.close()
            self._warm = None
        self._ranks = Ranks(ColdStarter(self._run.path))
        self._send(
            StartFailed(
                host=self._host,
                reason="the ranks that the warm process forked did not begin; the next attempt starts them without it",
            )
        )

    def _variables(self, order: StartRanks) -> dict[str, str]:
        return {
            **self.common,
            **self._interfaces(order.own_address),
            environment.GROUP_RANK: str(order.first_rank // self._here),
            environment.MASTER_ADDR: order.address,
            environment.MASTER_PORT: str(order.port),
            environment.ATTEMPT: str(order.attempt),
            environment.LEASE: order.lease,
            **({environment.MODEL_COMMIT: order.model_commit} if order.model_commit else {}),
        }

    def _interfaces(self, own_address: str) -> dict[str, str]:
        """The interface of this node's address, for gloo, which would otherwise look up the host's own name and can find
        127.0.1.1 or, on one machine, an address that others reach. NCCL finds the fastest network by itself, unless the
        configuration names one. A value of the site is kept."""
        interface = LOOPBACK if is_loopback(own_address) else interface_of(own_address)
        names = [environment.GLOO_INTERFACE, *([environment.NCCL_INTERFACE] if self._named_network else [])]
        return {name: interface for name in names if interface and name not in os.environ}

    def _bind(self, address: str) -> socket.socket:
        """The socket at which the ranks meet; at all addresses if this node does not know that one as its own."""
        port = choose_port(self.ports)
        try:
            return bind(port, address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return bind(port)

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
