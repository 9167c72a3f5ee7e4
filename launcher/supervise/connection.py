"""JSON lines between the supervisor and the nodes, over sockets that never block."""

import json
import socket
from typing import Any, cast


class ConnectionClosed(Exception):
    """The other end is gone."""


class Connection:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self._read = bytearray()
        self._unsent = bytearray()

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    def send(self, **message: Any) -> None:
        """Queues a message and sends what the socket takes; ConnectionClosed when the other end is gone."""
        self._unsent += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Sends more of what is queued."""
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionClosed(str(error)) from None

    def receive(self) -> list[dict[str, Any]]:
        """All messages that have come whole; ConnectionClosed when the other end is gone and nothing is left."""
        ended = ""
        while True:
            try:
                piece = self.socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                ended = str(error)
                break
            if not piece:
                ended = "closed"
                break
            self._read += piece
        whole, newline, rest = self._read.rpartition(b"\n")
        if newline:
            self._read = bytearray(rest)
        elif ended:
            raise ConnectionClosed(ended)
        else:
            return []
        return [cast("dict[str, Any]", json.loads(line)) for line in whole.split(b"\n") if line]

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()
