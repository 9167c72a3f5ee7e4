"""Where a server listens, and who may ask it: the address, the socket and the key."""

import ipaddress
import os
import shlex
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher import environment
from launcher.errors import ClusterError, ConfigError, UsageError

_SHORTEST_KEY = 16
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the server listens."""

    host: str
    """A name or an address of this machine."""
    port: int
    """0: a free one."""
    key: str | None
    """The key that requests must have."""
    key_file: Path | None
    """The file that it was read from."""

    @property
    def hosts(self) -> frozenset[str] | None:
        """Names under which clients without a key may address the server: a web page that has given a name of its own to this
        address (DNS rebinding) cannot ask it. None: any, since there is a key."""
        return None if self.key else _LOOPBACK | {self.host.lower()}

    @property
    def key_words(self) -> str | None:
        """The key as a shell reads it; None without one."""
        if self.key is None:
            return None
        return f"$(cat {shlex.quote(str(self.key_file))})" if self.key_file else f"${environment.API_KEY}"


def find_endpoint(host: str, port: int, key_file: Path | None, environ: Mapping[str, str]) -> Endpoint:
    """The endpoint; ConfigError for a key that is invalid, or without one if other machines can reach the server."""
    key = _key_in(key_file) if key_file else environ.get(environment.API_KEY) or None
    if key is not None:
        _check_key(key, f"--api-key-file {key_file}" if key_file else environment.API_KEY)
    elif not is_loopback(host):
        raise ConfigError(
            f"--host {host} lets other machines ask the model, and there is no key: export {environment.API_KEY}, or name a "
            "file with --api-key-file FILE"
        )
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port} must be from 0 (any free port) to 65535")
    return Endpoint(host=host, port=port, key=key, key_file=key_file)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key_in(file: Path) -> str:
    """The first line of the file; ConfigError if other users can read it."""
    if not file.is_file():
        raise ConfigError(f"--api-key-file {file} is not a file; write the key into it")
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"--api-key-file {file} can be read or written by other users; chmod 600 {file}")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0].strip() if lines else ""


def _check_key(key: str, where: str) -> None:
    if len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"{where} must hold at least {_SHORTEST_KEY} printable ASCII characters without blanks; openssl rand -hex 32 "
            "prints such a key"
        )


def bind(endpoint: Endpoint) -> socket.socket:
    """A socket with the address, on which nobody listens yet; ClusterError if the address cannot be used."""
    try:
        found = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise UsageError(
            f"--host {endpoint.host} is not an address of this machine ({error.strerror}); leave it out, or give 0.0.0.0"
        ) from None
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ClusterError(
            f"--host {endpoint.host} --port {endpoint.port} cannot be used ({os.strerror(error.errno or 0)}); give another "
            "port, or --port 0 for a free one"
        ) from None
    return bound


def address_of(endpoint: Endpoint, port: int) -> str:
    """The base URL of clients on this machine."""
    host = endpoint.host if endpoint.host not in ("0.0.0.0", "::") else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
