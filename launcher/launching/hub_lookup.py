"""Whether a hub's name can be looked up at all: told without the certificates and modules that a question needs."""

import os
import socket
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

ANSWER_S = 4.0
"""Seconds that a hub has to answer, and a name server before it."""


def unreachable(url: str, environ: Mapping[str, str]) -> str:
    """Why the host of this address cannot be reached; empty where it may be, or where a proxy looks names up instead."""
    if any(name.lower().endswith("_proxy") for name in (*os.environ, *environ)):
        return ""
    parts = urlsplit(url)
    failed: list[str] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)
            failed.append("")
        except (OSError, UnicodeError) as error:
            failed.append(getattr(error, "strerror", None) or type(error).__name__)

    # A thread, because nothing bounds how long a name server is waited for.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    if not failed:
        return f"{url} does not answer here within {ANSWER_S:g} s"
    return f"{parts.netloc} does not answer here ({failed[0]})" if failed[0] else ""
