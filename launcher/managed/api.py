"""A client for files and fine-tuning jobs of an OpenAI-compatible API, which uses httpx.

The address of the API and its key come from the environment. Neither is ever written to a file.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from urllib.parse import quote, urlsplit

from launcher.errors import ConfigError, Exit, LauncherError

_EXAMPLE = "https://provider.example/v1"
_TIMEOUT_S = 60.0
_TRIES = 5
_BUSY = (429, 503)
"""Status codes of a request that was not processed, so that any request can be retried. Source: RFC 9110 and RFC 6585."""
_BROKEN = (500, 502, 504)
"""Status codes after which only a request that changes nothing can be retried."""
_LONGEST_WAIT_S = 60.0
_LONGEST_MESSAGE = 400


def base_url() -> str:
    """OPENAI_BASE_URL without a slash at its end; ConfigError if it is not set, or if the key would be sent unencrypted."""
    found = os.environ.get("OPENAI_BASE_URL", "").strip().rstrip("/")
    if not found:
        raise ConfigError(
            "OPENAI_BASE_URL is not set, and there is no default: export the address of your provider's fine-tuning API, "
            f"such as OPENAI_BASE_URL={_EXAMPLE}"
        )
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ConfigError(
            "OPENAI_BASE_URL must be an http(s) address without a name or password in it, such as " + _EXAMPLE
        )
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError(
            f"OPENAI_BASE_URL={found} would send the key unencrypted to {parts.hostname}; use https"
        )
    return found


def api_key() -> str:
    """OPENAI_API_KEY; ConfigError if it is not set, or if it is not allowed in a header."""
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise ConfigError(
            "OPENAI_API_KEY is not set; export it in your shell (it is never written to a file)"
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            "OPENAI_API_KEY holds a character that is not allowed in an HTTP header; was a line end copied with it?"
        )
    return key


class ApiError(LauncherError):
    """The API refused a request or did not answer. No change is known to have happened unless the message says so."""


class NotThere(ApiError):
    """The API has no object of that name."""


class Unanswered(ApiError):
    """A request was sent, but its answer was not received."""

    exit_code = Exit.FAILED


class Api:
    """The API at OPENAI_BASE_URL."""

    def __init__(self, wait_s: float = 1.0) -> None:
        """`wait_s`: the wait before the first retry. ConfigError without httpx or a key, or for an unsafe address."""
        self._httpx = _httpx()
        self.base = base_url()
        self._wait_s = wait_s
        api_key()
        # httpx follows no redirects by default; a redirect would send the key to another host.
        self._client = self._httpx.Client(timeout=_TIMEOUT_S)

    def upload(self, path: Path) -> dict[str, Any]:
        """The file object of an uploaded fine-tuning file."""
        return self._ask("POST", "/files", file=path, again=True)

    def file(self, file_id: str) -> dict[str, Any]:
        """The file object."""
        return self._ask("GET", f"/files/{_part(file_id)}")

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The job object; Unanswered if the job may have been created."""
        return self._ask("POST", "/fine_tuning/jobs", body=request)

    def job(self, job_id: str) -> dict[str, Any]:
        """The job object."""
        return self._ask("GET", f"/fine_tuning/jobs/{_part(job_id)}")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """The job object; a second cancel is refused by the API."""
        return self._ask("POST", f"/fine_tuning/jobs/{_part(job_id)}/cancel", again=True)

    def jobs(self, most: int = 100) -> Iterator[dict[str, Any]]:
        """At most `most` jobs, newest first."""
        after, left = "", most
        while left > 0:
            query = {"limit": min(left, 100), **({"after": after} if after else {})}
            page = self._ask("GET", "/fine_tuning/jobs", query=query)
            yield from page["data"]
            left -= len(page["data"])
            if not page.get("has_more") or not page["data"]:
                return
            after = str(page["data"][-1]["id"])

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """The newest hundred events of a job, oldest first."""
        page = self._ask("GET", f"/fine_tuning/jobs/{_part(job_id)}/events", query={"limit": 100})
        return list(reversed(cast("list[dict[str, Any]]", page["data"])))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        file: Path | None = None,
        again: bool = False,
    ) -> dict[str, Any]:
        """The JSON object of the answer. A busy API is retried with any request; other errors only with GET or `again`."""
        repeatable = again or method == "GET"
        for number in range(1, _TRIES + 1):
            last = number == _TRIES
            delay = self._wait_s * 2 ** (number - 1)
            try:
                response = self._send(method, path, query, body, file)
                if response.is_success:
                    return _object(response.json(), f"{method} {path}")
            except (self._httpx.HTTPError, self._httpx.InvalidURL, OSError, ValueError) as error:
                if not repeatable or last:
                    why = _masked(str(error)) or type(error).__name__
                    raise (ApiError if repeatable else Unanswered)(
                        f"{method} {self.base}{path}: no answer ({why}); is OPENAI_BASE_URL right?"
                    ) from None
            else:
                status: int = response.status_code
                if last or not (status in _BUSY or (status in _BROKEN and repeatable)):
                    kind = NotThere if status == HTTPStatus.NOT_FOUND else ApiError
                    kind = Unanswered if status in _BROKEN and not repeatable else kind
                    raise kind(_message_of(method, path, response))
                delay = _retry_after(response) or delay
            time.sleep(min(delay, _LONGEST_WAIT_S))
        raise AssertionError("the last try returns or raises")

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        file: Path | None,
    ) -> Any:
        """httpx's response to one request; a file is streamed."""
        with ExitStack() as stack:
            part = file and (file.name, stack.enter_context(file.open("rb")), "application/jsonl")
            return self._client.request(
                method,
                f"{self.base}{path}",
                params=query,
                json=body,
                data={"purpose": "fine-tune"} if part else None,
                files={"file": part} if part else None,
                headers={"Authorization": f"Bearer {api_key()}", "Accept": "application/json"},
            )


def _httpx() -> ModuleType:
    """The module httpx; ConfigError if it is not installed."""
    try:
        import httpx
    except ImportError:
        raise ConfigError(
            "managed needs httpx, which is not installed; run pip install 'launcher[managed]' (or pip install httpx)"
        ) from None
    return httpx


def _part(text: str) -> str:
    return quote(text, safe="")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"the answer to {what} is not a JSON object")
    return cast("dict[str, Any]", value)


def _message_of(method: str, path: str, response: Any) -> str:
    """The API's error message, in one line and without the key."""
    try:
        text = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = response.text or str(response.reason_phrase)
    return f"{method} {path}: {response.status_code}, {_masked(text)}"


def _masked(text: str) -> str:
    """The text in one line and without the key, which httpx quotes if it cannot send a header."""
    return " ".join(text.replace(api_key(), "***").split())[:_LONGEST_MESSAGE]


def _retry_after(response: Any) -> float | None:
    """Seconds that the server requests in Retry-After, else None. Source: RFC 9110, section 10.2.3."""
    try:
        return max(0.0, float(response.headers.get("Retry-After", "")))
    except ValueError:
        return None
