"""Whether the name of a hub's host can be looked up, without the hub's library, whose import takes longer than a plan."""

import os
import socket
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

_ANSWER_S = 4.0


def why_unknown(hub: str, environ: Mapping[str, str]) -> str:
    """Why the host of this address cannot be found; empty if it is found, and if a proxy looks names up instead."""
    host = urlsplit(hub).hostname
    if not host or any(name.lower().endswith("_proxy") for name in (*os.environ, *environ)):
        return ""
    where = (hub.partition("://")[2] or hub).rpartition("@")[2]
    found: list[str] = []

    def look_up() -> None:
        try:
            # as bytes, since a text makes Python import its tables of international names
            socket.getaddrinfo(host.encode() if _is_plain(host) else host, None, type=socket.SOCK_STREAM)
            found.append("")
        except UnicodeError:
            found.append("")  # the library names what is wrong with the address
        except OSError as error:
            found.append(f"{where} does not answer here ({error.strerror})")

    # A thread, because nothing bounds how long a name server is waited for.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    return found[0] if found else f"{where} does not answer here within {_ANSWER_S:g} s"


def _is_plain(host: str) -> bool:
    """Whether the name is as a name server is asked for it. Source: RFC 1035, section 2.3.4."""
    return host.isascii() and all(0 < len(label) < 64 for label in host.split("."))
