"""Whether a tracker's server can be reached, found out in seconds and with the standard library alone."""

import threading
import urllib.error
import urllib.request

PROBE_S = 3.0
"""Seconds in which the host must answer anything at all."""


def answers(host: str, timeout_s: float = PROBE_S) -> bool:
    """Whether the host says anything over HTTP, an error included, in that time; by way of a proxy where one is set.

    In a thread, because the system's name look-up has no time limit.
    """
    said = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(host, timeout=timeout_s):
                said.set()
        except urllib.error.HTTPError:
            said.set()
        except urllib.error.URLError as error:
            if "CERTIFICATE" in str(
                error.reason
            ):  # it is there; trackers have their own settings for certificates
                said.set()
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return said.is_set()
