"""A client for files and fine-tuning jobs of OpenAI's shape, with nothing but the standard library.

Source: OpenAI's API reference, "Files" and "Fine-tuning". The key is read from the environment at each request, goes into its
Authorization header and nowhere else.
"""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

from launcher.errors import ConfigError, Exit, LauncherError

DEFAULT = "https://api.openai.com/v1"
_CHUNK = 1 << 20
_TIMEOUT_S = 60.0
_TRIES = 5
_BUSY = (429, 503)
"""Answers to a request that was not taken up, so that it can be made again. Source: RFC 9110 and RFC 6585."""
_BROKEN = (500, 502, 504)
"""Answers after which only a request that changes nothing may be made again."""
_LONGEST_WAIT_S = 60.0


class ApiError(LauncherError):
    """The API refused, or did not answer; nothing is known to have changed unless it says so."""


class NotThere(ApiError):
    """The API knows nothing of that name."""


class Unanswered(ApiError):
    """A request was sent and its answer is not known."""

    exit_code = Exit.FAILED


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """None makes of it an error."""
        return


class Api:
    """The API at OPENAI_BASE_URL."""

    def __init__(self, wait_s: float = 1.0) -> None:
        """ConfigError without a key or with an address that would show it; `wait_s`: before the first repetition."""
        self.base = base_url()
        self._wait_s = wait_s
        self._open = urllib.request.build_opener(_NoRedirect).open
        _key()

    def upload(self, path: Path) -> dict[str, Any]:
        """The file object of a fine-tuning file."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
        }
        return self._ask("POST", "/files", lambda: _stream(head, path, tail), headers, again=True)

    def file(self, file_id: str) -> dict[str, Any]:
        """The file object."""
        return self._ask("GET", f"/files/{_part(file_id)}")

    def create(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The job object; Unanswered where it may have been created."""
        data = json.dumps(asked).encode()
        return self._ask("POST", "/fine_tuning/jobs", lambda: data, {"Content-Type": "application/json"})

    def job(self, job_id: str) -> dict[str, Any]:
        """The job object."""
        return self._ask("GET", f"/fine_tuning/jobs/{_part(job_id)}")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """The job object; a second cancel is refused by the API."""
        return self._ask("POST", f"/fine_tuning/jobs/{_part(job_id)}/cancel", lambda: b"{}", again=True)

    def jobs(self, most: int = 100) -> Iterator[dict[str, Any]]:
        """Jobs, the newest first."""
        after, left = "", most
        while left > 0:
            query = urllib.parse.urlencode({"limit": min(left, 100), **({"after": after} if after else {})})
            page = self._ask("GET", f"/fine_tuning/jobs?{query}")
            yield from page["data"]
            left -= len(page["data"])
            if not page.get("has_more") or not page["data"]:
                return
            after = str(page["data"][-1]["id"])

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """The newest hundred events of a job, the oldest of them first."""
        page = self._ask("GET", f"/fine_tuning/jobs/{_part(job_id)}/events?limit=100")
        return list(reversed(cast("list[dict[str, Any]]", page["data"])))

    def _ask(
        self,
        method: str,
        path: str,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        again: bool = False,
    ) -> dict[str, Any]:
        """The JSON object that is answered. Busy answers are waited out; `again`: others too, as with a GET."""
        repeatable = again or method == "GET"
        for number in range(1, _TRIES + 1):
            request = urllib.request.Request(
                f"{self.base}{path}",
                data=data() if data else None,
                headers={
                    "Authorization": f"Bearer {_key()}",
                    "Accept": "application/json",
                    **(headers or {}),
                },
                method=method,
            )
            last = number == _TRIES
            try:
                with self._open(request, timeout=_TIMEOUT_S) as response:
                    return _object(response.read(), f"{method} {path}")
            except urllib.error.HTTPError as error:
                wait = error.code in _BUSY or (error.code in _BROKEN and repeatable)
                if not wait or last:
                    kind = NotThere if error.code == HTTPStatus.NOT_FOUND else ApiError
                    kind = Unanswered if error.code in _BROKEN and not repeatable else kind
                    raise kind(_said(method, path, error)) from None
                delay = _retry_after(error) or self._wait_s * 2 ** (number - 1)
            except (
                OSError,
                ValueError,
            ) as error:  # URLError, time-outs and broken answers are kinds of these
                reason = str(getattr(error, "reason", error)) or type(error).__name__
                if not repeatable or last:
                    kind = Unanswered if not repeatable else ApiError
                    raise kind(
                        f"{method} {self.base}{path}: no answer ({reason}); is OPENAI_BASE_URL right?"
                    ) from None
                delay = self._wait_s * 2 ** (number - 1)
            time.sleep(min(delay, _LONGEST_WAIT_S))
        raise AssertionError("the last try returns or raises")


def base_url() -> str:
    """OPENAI_BASE_URL without a slash at its end; ConfigError where it would carry the key in the open."""
    found = (os.environ.get("OPENAI_BASE_URL") or DEFAULT).rstrip("/")
    parts = urllib.parse.urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ConfigError(
            "OPENAI_BASE_URL must be an http(s) address without a name or password in it, such as " + DEFAULT
        )
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError(
            f"OPENAI_BASE_URL={found} would send the key unencrypted to {parts.hostname}; use https"
        )
    return found


def _key() -> str:
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise ConfigError("there is no OPENAI_API_KEY; set it in your shell, it is written nowhere")
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            "OPENAI_API_KEY holds a character that no header can carry; was a line end copied with it?"
        )
    return key


def _part(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _stream(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
    yield tail


def _object(body: bytes, what: str) -> dict[str, Any]:
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError(f"{what} was answered with no object")
    return cast("dict[str, Any]", value)


def _said(method: str, path: str, error: urllib.error.HTTPError) -> str:
    """The API's own words, in one line."""
    text = error.read(64 << 10).decode(errors="replace")
    try:
        text = str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = text or str(error.reason)
    line = " ".join(text.split())[:400]
    key = os.environ.get("OPENAI_API_KEY", "")
    return f"{method} {path.partition('?')[0]}: {error.code}, {line.replace(key, '***') if key else line}"


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    """Seconds that the server asks for. Source: RFC 9110, section 10.2.3."""
    try:
        return max(0.0, float(error.headers.get("Retry-After", "")))
    except ValueError:
        return None
