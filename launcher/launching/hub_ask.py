"""Whether a user can read a file on a hub, by huggingface_hub, which only this module imports on the path of a launch.

The library follows redirects only between addresses of a hub, so the token does not reach the hosts that store its files.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from launcher.hub import endpoint, home_folder, is_open

_ANSWER_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAnswer:
    """The hub's answer about a file."""

    status: int
    """HTTP status; 0 without an answer."""
    said: str
    """The hub's error code, or why there is no answer."""


def ask(kind: str, name: str, revision: str, file: str, environ: Mapping[str, str]) -> HubAnswer:
    """The hub's answer for a file of a `model` or `dataset`; without an answer, status 0 and the reason."""
    try:
        from huggingface_hub import (
            get_hf_file_metadata,  # pyright: ignore[reportUnknownVariableType]
            hf_hub_url,
        )
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            HTTPError,  # pyright: ignore[reportPrivateImportUsage]
        )
    except ImportError:
        return HubAnswer(
            status=0,
            said="this Python has no huggingface_hub to ask the hub with (pip install huggingface_hub)",
        )
    hub, token = endpoint(environ), token_of(environ)
    where = (hub.partition("://")[2] or hub).rpartition("@")[2]
    answers: list[HubAnswer] = []

    def send() -> None:
        try:
            _ = urlsplit(
                hub
            ).port  # ValueError for a bad one, for which the library raises an error of a private module
            url = hf_hub_url(name, file, repo_type=kind, revision=revision, endpoint=hub)
            get_hf_file_metadata(url, token=token or False, timeout=_ANSWER_S, endpoint=hub)
        except HfHubHTTPError as error:
            code = error.response.headers.get("X-Error-Code", "")
            answers.append(HubAnswer(status=error.response.status_code, said=code))
        except HFValidationError:
            answers.append(HubAnswer(status=404, said="no repository can have this name"))
        except (HTTPError, OSError, ValueError) as error:
            answers.append(HubAnswer(status=0, said=f"{where} does not answer here ({why(error)})"))
        else:
            answers.append(HubAnswer(status=200, said=""))

    # This needs a thread, because no timeout of the library limits the look-up of a host name.
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    late = HubAnswer(status=0, said=f"{where} does not answer here within {_ANSWER_S:g} s")
    return answers[0] if answers else late


def why(error: Exception) -> str:
    """The operating system's reason, or the error's type. Never the error's text: it can quote the header with the token."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if isinstance(cause, UnicodeError):
            return "HF_TOKEN or the address contains a character that cannot be sent"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def token_of(environ: Mapping[str, str]) -> str:
    """The user's token without line ends; empty if there is none, and for a hub to which it would go unencrypted.

    The library reads its variables when it is imported; the environment here also contains those of the cluster file.
    Source: huggingface_hub/utils/_auth.py, _clean_token.
    """
    if is_open(endpoint(environ)):
        return ""
    token = _clean(environ.get("HF_TOKEN", ""))
    path = Path(environ.get("HF_TOKEN_PATH") or home_folder(environ) / "token").expanduser()
    return token or (_clean(path.read_text()) if path.is_file() else "")


def _clean(token: str) -> str:
    return "".join(token.splitlines()).strip()
