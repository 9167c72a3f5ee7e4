"""The web server under an application: it runs until a signal comes or `end` is called. uvicorn is imported only by `run`."""

import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

_GRACE_S = 5
"""Seconds that a client has to take the end of its answer when the server ends."""


class WebServer:
    """One server; `run` answers requests until its end."""

    def __init__(self) -> None:
        self._server: Any = None

    def end(self) -> None:
        """Ends the server; from any thread."""
        if self._server:
            self._server.should_exit = True

    def run(
        self,
        app: Any,
        bound: socket.socket,
        started: Callable[[], None],
        stopping: Callable[[], None],
    ) -> list[int]:
        """The signals that have ended the server; empty if it ended by itself, or did not start.

        `started` is called when it accepts requests, `stopping` when a signal has come.
        """
        import uvicorn

        self._server = server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        # In a thread of its own uvicorn leaves the signals to this one.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        got: list[int] = []

        def stop(number: int, frame: Any) -> None:
            got.append(number)
            stopping()
            self.end()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            thread.start()
            while thread.is_alive() and not server.started:
                thread.join(0.05)
            if server.started:
                started()
            thread.join()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return got
