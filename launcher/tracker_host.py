"""Whether Weights & Biases can be reached, found out in seconds and with nothing but the standard library."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

HOST = "https://api.wandb.ai"
"""Where wandb goes without WANDB_BASE_URL. Source: wandb's page on environment variables."""
PROBE_S = 3.0
"""Seconds in which the host must answer anything at all."""


def why_offline(environment: Mapping[str, str], answers: Callable[[str], bool]) -> str | None:
    """Why wandb has to keep its files here for `python -m launcher sync`; None where it can send them."""
    asked = environment.get("WANDB_MODE", "")
    if asked and asked != "online":
        return f"WANDB_MODE is {asked}"
    return why_unreachable(environment, answers)


def why_unreachable(environment: Mapping[str, str], answers: Callable[[str], bool]) -> str | None:
    """Why nothing can be sent: no key, or no answer from the host; None where it can."""
    host = environment.get("WANDB_BASE_URL") or HOST
    if not environment.get("WANDB_API_KEY") and not _has_netrc(environment, host):
        return "there is no WANDB_API_KEY"
    if not answers(host):
        return f"{urlsplit(host).hostname} did not answer within {PROBE_S:g} s"
    return None


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
            if "CERTIFICATE" in str(error.reason):  # it is there; wandb has its own settings for certificates
                said.set()
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return said.is_set()


def _has_netrc(environment: Mapping[str, str], host: str) -> bool:
    netrc = Path(environment.get("NETRC", "~/.netrc")).expanduser()
    return netrc.is_file() and str(urlsplit(host).hostname) in netrc.read_text(errors="replace")
