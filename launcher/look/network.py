"""Interfaces of a node, and measurements between two nodes over each of them: whether they connect, how fast, and how far
their clocks differ.

Node 0 listens, and its rendezvous.json in the job's folder says where; the others connect to each of its addresses. That file,
which only this user can read, has a key, and a connection without the key is closed.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

from launcher.look.record import Interface, Link
from launcher.supervise.addresses import interface_addresses, is_loopback, why

_RENDEZVOUS = "rendezvous.json"
_MEET_S = 60.0
"""Seconds within which node 0 must be found. They cover its start and the delay of the shared file system."""
_CONNECT_S = 3.0
_SEND_S = 0.5
"""Seconds of data over each interface."""
_PINGS = 20
_PIECE = 1 << 20
_INFINIBAND = "32"
"""ARPHRD_INFINIBAND. Source: linux/if_arp.h."""
_INSIDE = ("docker", "virbr", "veth", "br-", "cni", "podman", "lxc")


def interfaces() -> list[Interface]:
    """Interfaces with an address that other hosts may reach."""
    found: list[Interface] = []
    for name, addresses in interface_addresses().items():
        outside = [one for one in addresses if not is_loopback(one)]
        if not outside or name.startswith(_INSIDE):
            continue
        speed = _word(name, "speed")
        found.append(
            Interface(
                name=name,
                addresses=outside,
                fast=_word(name, "type") == _INFINIBAND or name.startswith("hsn"),
                speed_gb_s=int(speed) / 8000 if speed.isdigit() and int(speed) else None,
            )
        )
    return sorted(found, key=lambda one: one.name)


def infiniband_gb_s() -> float:
    """Sum of the rates of the active ports of this node; 0 without any. Source: the kernel's sysfs-class-infiniband."""
    rates: list[float] = []
    for port in Path("/sys/class/infiniband").glob("*/ports/*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if "ACTIVE" in (port / "state").read_text() and "InfiniBand" in (port / "link_layer").read_text():
                rates.append(float((port / "rate").read_text().split()[0]) / 8)
    return sum(rates)


class RendezvousServer:
    """Node 0's part: answers until every other node has said that it is done."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.key = secrets.token_hex(16)
        self.left = threading.Semaphore(0)
        self.others = nodes - 1
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        self.listener = socket.create_server(
            ("", 0), family=family, dualstack_ipv6=family is socket.AF_INET6, backlog=nodes * 8
        )
        where = {
            "key": self.key,
            "port": self.listener.getsockname()[1],
            "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            "addresses": {one.name: one.addresses for one in interfaces()},
        }
        temporary = folder / f"{_RENDEZVOUS}.tmp"
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(where))
        temporary.rename(folder / _RENDEZVOUS)

    def serve(self) -> None:
        """Returns when all are done, or after a minute."""
        threading.Thread(target=self._accept, daemon=True).start()
        deadline = time.monotonic() + _MEET_S
        for _ in range(self.others):
            self.left.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(_CONNECT_S + _SEND_S)
            lines = connection.makefile("rb")
            if lines.readline(64).decode(errors="replace").strip() != self.key:
                return
            while (word := lines.readline(16).strip()) == b"ping":
                connection.sendall(f"{time.time():.6f}\n".encode())
            if word == b"done":
                self.left.release()
            elif word == b"send":
                size = 0
                while piece := lines.read1(_PIECE):
                    size += len(piece)
                connection.sendall(f"{size}\n".encode())


def meet(folder: Path, own: list[Interface]) -> tuple[str, list[Link]]:
    """How node 0's name is resolved here, and the links to it over the interfaces that both have."""
    where = _where(folder)
    if where is None:
        return "node 0 did not write where it listens; is this folder on a shared file system?", []
    links = [
        _link(where, one.name, address) for one in own for address in where["addresses"].get(one.name, [])[:1]
    ]
    _tell_done(where, [link.address for link in links if not link.problem])
    return _resolved(where["host"]), links


def _where(folder: Path) -> dict[str, Any] | None:
    deadline = time.monotonic() + _MEET_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            list(folder.iterdir())  # listing the folder makes NFS refresh its cache
            return json.loads((folder / _RENDEZVOUS).read_text())
        time.sleep(0.1)
    return None


def _resolved(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        return why(error)


def _link(where: dict[str, Any], interface: str, address: str) -> Link:
    link = Link(interface=interface, address=address)
    try:
        with _connected(where, address) as connection:
            link.clock_s = _clock(connection)
            link.gb_s = _speed(connection)
    except (OSError, ValueError) as error:
        link.problem = why(error) if isinstance(error, OSError) else "an invalid answer"
    return link


def _connected(where: dict[str, Any], address: str) -> socket.socket:
    connection = socket.create_connection((address, where["port"]), timeout=_CONNECT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(f"{where['key']}\n".encode())
    return connection


def _clock(connection: socket.socket) -> float:
    """Node 0's clock minus ours, by the fastest of several exchanges. Source: RFC 5905, section 8."""
    best, offset = float("inf"), 0.0
    for _ in range(_PINGS):
        began = time.time()
        connection.sendall(b"ping\n")
        theirs = float(connection.recv(64))
        ended = time.time()
        if ended - began < best:
            best, offset = ended - began, theirs - (began + ended) / 2
    return offset


def _speed(connection: socket.socket) -> float:
    piece, began = bytes(_PIECE), time.monotonic()
    connection.sendall(b"send\n")
    while time.monotonic() - began < _SEND_S:
        connection.sendall(piece)
    connection.shutdown(socket.SHUT_WR)
    arrived = int(connection.recv(64))
    return arrived / (time.monotonic() - began) / 1e9


def _tell_done(where: dict[str, Any], addresses: list[str]) -> None:
    for address in addresses:
        with contextlib.suppress(OSError), _connected(where, address) as connection:
            connection.sendall(b"done\n")
            return


def _word(interface: str, name: str) -> str:
    with contextlib.suppress(OSError):
        return Path("/sys/class/net", interface, name).read_text(encoding="utf-8").strip()
    return ""
