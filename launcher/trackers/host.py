"""Whether the server of a tracker can be reached, checked within seconds and with only the standard library."""

import threading
import urllib.error
import urllib.request

PROBE_S = 3.0
"""Seconds within which the host must give any answer."""


def answers(host: str, timeout_s: float = PROBE_S) -> bool:
    """Whether the host gives any HTTP answer, even an error, in that time; through a proxy if one is set.

    The request runs in a thread, because the system's name look-up has no timeout.
    """
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(host, timeout=timeout_s):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except urllib.error.URLError as error:
            if "CERTIFICATE" in str(
                error.reason
            ):  # the host exists; trackers have their own settings for certificates
                answered.set()
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answered.is_set()
