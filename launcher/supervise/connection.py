"""A connection between the supervisor and an agent: one message per line, over a socket that never blocks."""

import select
import socket
from collections.abc import Mapping

from launcher.protocol.codec import LONGEST_LINE, Message, ProtocolError, decode, encode
from launcher.supervise.addresses import plain


class ConnectionClosed(Exception):
    """The other end is gone."""


class Connection:
    """One end of a connection, with what is queued for the other end and what has come in part."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self._received = bytearray()
        self._unsent = bytearray()

    def fileno(self) -> int:
        """The file descriptor, for select."""
        return self.socket.fileno()

    def ends(self) -> tuple[str, str]:
        """The addresses of the other end and of this end; empty for a connection that has no address or is gone."""
        try:
            return plain(self.socket.getpeername()[0]), plain(self.socket.getsockname()[0])
        except (OSError, IndexError):
            return "", ""

    def wait(self, timeout_s: float) -> None:
        """Returns when something has come, or after `timeout_s`. select(2) would fail from descriptor 1,024 on."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.poll(timeout_s * 1000)

    def send(self, message: Message) -> None:
        """Queues a message and sends what the socket takes; ConnectionClosed when the other end is gone."""
        self.send_line(encode(message) + b"\n")

    def send_line(self, line: bytes = b"") -> bool:
        """Queues a message that is encoded already, with its line end; whether the socket has taken all that was queued.
        ConnectionClosed when the other end is gone."""
        self._unsent += line
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionClosed(str(error)) from None
        return True

    def flush(self) -> None:
        """Sends more of what is queued; ConnectionClosed when the other end is gone."""
        self.send_line()

    def receive(self, accepted: Mapping[str, type[Message]], longest: int = LONGEST_LINE) -> list[Message]:
        """All messages that have arrived whole. At most `longest` + 1 bytes of an incomplete one are kept.

        ConnectionClosed when the other end is gone and nothing is left to read; ProtocolError for a line that is not one of the
        `accepted` messages, or is longer than `longest` bytes.
        """
        ended = ""
        while len(self._received) <= longest:
            try:
                piece = self.socket.recv(min(1 << 16, longest + 1 - len(self._received)))
            except BlockingIOError:
                break
            except OSError as error:
                ended = str(error)
                break
            if not piece:
                ended = "closed"
                break
            self._received += piece
        whole, newline, rest = self._received.rpartition(b"\n")
        if newline:
            self._received = bytearray(rest)
            return [decode(line, accepted) for line in whole.split(b"\n") if line]
        if len(rest) > longest:
            raise ProtocolError(f"a line is longer than {longest} bytes")
        if ended:
            raise ConnectionClosed(ended)
        return []

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()
