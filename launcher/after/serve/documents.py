"""The documents that a server of OpenAI's shape writes: answers, pieces of answers, and errors.

Source: OpenAI's API reference, "Chat completion object", "Streaming events" and "Error codes".
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class RequestRefused(Exception):
    """A request that gets an error as its answer."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    @property
    def body(self) -> dict[str, Any]:
        """The error as the API writes it."""
        return error_body(str(self), self.status, self.param, self.code)


def client_gone() -> RequestRefused:
    """The end of a request whose client has disconnected. Its status is for the log: it is sent to nobody."""
    return RequestRefused("the client has disconnected", status=499)


def error_body(
    message: str, status: int, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An error in the API's shape."""
    kind = _KINDS.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True, slots=True)
class Completion:
    """The documents of one answer, which share its id and time."""

    model: str
    id: str
    created: int

    @classmethod
    def of(cls, model: str) -> "Completion":
        """The documents of a new answer."""
        return cls(model, f"chatcmpl-{uuid.uuid4().hex}", int(time.time()))

    def whole(self, text: str, finish_reason: str, tokens: tuple[int, int]) -> dict[str, Any]:
        """The answer as one document. `tokens`: of the prompt, and of the answer."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(tokens)}

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """A piece of a streamed answer."""
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def last_chunk(self, tokens: tuple[int, int]) -> dict[str, Any]:
        """The last document of a streamed answer, which has the numbers of tokens."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(tokens)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def usage(tokens: Sequence[int]) -> dict[str, int]:
    """The numbers of tokens as the API names them."""
    prompt, answer = tokens
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
