"""One question to a hub: whether this user may read an address. The token goes to the hub alone."""

import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from launcher.hub import home_folder
from launcher.launching.hub_lookup import ANSWER_S


def ask(url: str, environ: Mapping[str, str]) -> tuple[int, str]:
    """The status of the answer and the hub's word for it; 0 and why where none came in time."""
    answer: list[tuple[int, str]] = []

    def send() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD", headers=_token(environ))
            with urllib.request.build_opener(_TokenStays).open(request, timeout=ANSWER_S) as response:
                answer.append((response.status, ""))
        except urllib.error.HTTPError as error:
            answer.append((error.code, error.headers.get("X-Error-Code") or ""))
        except (OSError, ValueError, HTTPException) as error:
            answer.append((0, f"{urlsplit(url).netloc or url} does not answer here ({_why(error)})"))

    # A thread, for nothing bounds how long a name is looked up.
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    return answer[0] if answer else (0, f"{url} does not answer here within {ANSWER_S:g} s")


class _TokenStays(urllib.request.HTTPRedirectHandler):
    """The token goes to the hub alone, and not with a redirect to whoever holds its files."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The next request, without the token where it leaves the scheme, host or port."""
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            found.remove_header("Authorization")
        return found


def _why(error: Exception) -> str:
    """Why nothing was answered. Never a ValueError's own words: http.client puts the header that it refuses into them."""
    if isinstance(error, ValueError):
        return "HF_TOKEN or the address holds a character that cannot be sent"
    reason = getattr(error, "reason", error)
    text = reason.strerror if isinstance(reason, OSError) else None
    return text or (reason if isinstance(reason, str) else type(reason).__name__)


def _token(environ: Mapping[str, str]) -> dict[str, str]:
    """The header with the user's own token, where there is one, without line ends that were copied with it.

    Source: as launcher.hub.home_folder; huggingface_hub/utils/_auth.py, _clean_token.
    """
    token = "".join(environ.get("HF_TOKEN", "").splitlines()).strip()
    if not token:
        path = Path(environ.get("HF_TOKEN_PATH") or home_folder(environ) / "token").expanduser()
        token = "".join(path.read_text().splitlines()).strip() if path.is_file() else ""
    return {"Authorization": f"Bearer {token}"} if token else {}
