"""The key of a job, and how a supervisor and an agent prove to each other that they hold it, before either trusts the other.

The key is a file in the run dir that this user alone can read. It is neither in the environment nor on a command line, and a
new one is made for every job. The supervisor sends a nonce. The agent answers with its index, a nonce of its own and the HMAC
of all three, and the supervisor with an HMAC of the same under another role. What is sent before that is bounded in bytes, in
time and in number.
"""

import contextlib
import hmac
import json
import os
import secrets
import select
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import RunError
from launcher.protocol.codec import ProtocolError
from launcher.protocol.handshake import FROM_AGENT, FROM_SUPERVISOR, Challenge, Proof, Welcome, nonce
from launcher.run import RunDir
from launcher.supervise.connection import Connection, ConnectionClosed
from launcher.timeouts import CONNECT_ONE_S, HANDSHAKE_S

_FILE = ".key"
_BYTES = 32
_TEXT = 2 * _BYTES
LONGEST = 512
"""Bytes of a line that is read before the other end has proved that it belongs to the job; a proof has 180."""
_LEAST_STRANGERS = 256
"""Connections without a proof that may be open at once; a job of more than half as many nodes may have two for each node."""
_FULL_S = 0.05


def key_path(run: RunDir) -> Path:
    """Where the key of the run's present job is."""
    return run.path / _FILE


def write_key(run: RunDir) -> bytes:
    """A new key, once it is in place of an older one."""
    key, path = secrets.token_hex(_BYTES), key_path(run)
    temporary = path.with_name(f"{_FILE}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, key.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    return key.encode()


def read_key(run: RunDir) -> bytes:
    """The key of the run's present job; RunError if it is missing or invalid."""
    path = key_path(run)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            key = os.read(descriptor, _TEXT + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(
            f"{path} cannot be read ({error.strerror}); every node of the job must see the run dir, as the same user"
        ) from None
    if len(key) != _TEXT:
        raise RunError(f"{path} holds {len(key)} bytes and is not a key; cancel the job and resume the run")
    return key


def remove_key(run: RunDir, key: bytes) -> None:
    """Removes the key, unless a later job has its own there."""
    try:
        if read_key(run) == key:
            key_path(run).unlink()
    except (OSError, RunError):
        return


def prove(key: bytes, role: str, *said: str) -> str:
    """The answer to `said` that only a holder of the key can make; `role` makes the answers of the two sides different.

    Source: RFC 2104, HMAC with SHA-256.
    """
    return hmac.new(key, json.dumps((role, *said)).encode(), "sha256").hexdigest()


def is_proof(given: str, wanted: str) -> bool:
    """Whether a proof is the wanted one, compared in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


@dataclass(frozen=True, slots=True)
class _Stranger:
    """A connection that has proved nothing yet."""

    connection: Connection
    nonce: str
    since: float
    """time.monotonic() when it began."""


class Door:
    """The supervisor's listening socket, and the connections that have proved nothing yet."""

    def __init__(self, listener: socket.socket, key: bytes, nodes: int, waits: select.epoll) -> None:
        """`nodes`: how many agents there can be; each has an index below that. `waits` gets every connection, and keeps those
        of agents that are admitted; a closed one leaves it by itself."""
        self.listener, self._key, self._nodes, self._waits = listener, key, nodes, waits
        waits.register(listener, select.EPOLLIN)
        self._most = max(_LEAST_STRANGERS, 2 * nodes)
        self._strangers: list[_Stranger] = []

    def admit(self) -> list[tuple[int, Connection]]:
        """The index and the connection of each agent that has proved itself now. Nothing that a stranger sends is an error."""
        self._accept()
        admitted: list[tuple[int, Connection]] = []
        kept: list[_Stranger] = []
        for stranger in self._strangers:
            try:
                index = self._hear(stranger)
            except (ConnectionClosed, ProtocolError):
                stranger.connection.close()
            else:
                if index is None:
                    kept.append(stranger)
                else:
                    admitted.append((index, stranger.connection))
        self._strangers = kept
        return admitted

    def close(self) -> None:
        """Ends the socket and the connections that have proved nothing."""
        for stranger in self._strangers:
            stranger.connection.close()
        self._strangers = []
        self.listener.close()

    def _accept(self) -> None:
        for _ in range(self._most):
            try:
                accepted, _ = self.listener.accept()
            except BlockingIOError:
                break
            except OSError:  # no descriptor is left, or the other end has gone already
                self._make_room(len(self._strangers) // 2)
                time.sleep(_FULL_S)
                break
            connection = Connection(accepted)
            with contextlib.suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stranger = _Stranger(connection, nonce(), time.monotonic())
            try:
                connection.send(Challenge(nonce=stranger.nonce))
            except ConnectionClosed:
                connection.close()
                continue
            self._waits.register(connection, select.EPOLLIN)
            self._strangers.append(stranger)
        self._make_room(self._most)

    def _make_room(self, left: int) -> None:
        """Closes the oldest strangers: an agent proves itself within a moment, and connects again if it was closed."""
        gone = self._strangers[: max(0, len(self._strangers) - left)]
        self._strangers = self._strangers[len(gone) :]
        for stranger in gone:
            stranger.connection.close()

    def _hear(self, stranger: _Stranger) -> int | None:
        """The index of an agent that has proved itself; None if it has said nothing yet."""
        messages = stranger.connection.receive(FROM_AGENT, LONGEST)
        if not messages:
            if time.monotonic() - stranger.since > HANDSHAKE_S:
                raise ProtocolError(f"no proof within {HANDSHAKE_S:g} s")
            return None
        proof, *others = messages
        assert isinstance(proof, Proof)
        said = (stranger.nonce, proof.nonce, str(proof.index))
        right = is_proof(proof.proof, prove(self._key, "agent", *said))
        if others or not right or not 0 <= proof.index < self._nodes:
            raise ProtocolError("no proof")
        stranger.connection.send(Welcome(proof=prove(self._key, "supervisor", *said)))
        return proof.index


def introduce(connection: Connection, key: bytes, index: int) -> None:
    """Proves to the supervisor that this is the agent `index`, and returns once the other end has proved that it is the
    supervisor. ConnectionClosed if it does not, within CONNECT_ONE_S."""
    deadline = time.monotonic() + CONNECT_ONE_S
    try:
        challenge = _next(connection, deadline)
        if not isinstance(challenge, Challenge):
            raise ConnectionClosed("it is not this run's supervisor")
        own = nonce()
        said = (challenge.nonce, own, str(index))
        connection.send(Proof(index=index, nonce=own, proof=prove(key, "agent", *said)))
        welcome = _next(connection, deadline)
        if not isinstance(welcome, Welcome) or not is_proof(welcome.proof, prove(key, "supervisor", *said)):
            raise ConnectionClosed("it does not have this run's key")
    except ProtocolError:
        raise ConnectionClosed("it is not this run's supervisor") from None


def _next(connection: Connection, deadline: float) -> Challenge | Welcome:
    while time.monotonic() < deadline:
        connection.wait(max(0.0, deadline - time.monotonic()))
        connection.flush()
        messages = connection.receive(FROM_SUPERVISOR, LONGEST)
        if len(messages) > 1:
            raise ProtocolError("more than one message")
        if messages:
            assert isinstance(messages[0], Challenge | Welcome)
            return messages[0]
    raise ConnectionClosed("it does not prove that it is this run's supervisor")
