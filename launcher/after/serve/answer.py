"""The answer to one chat request, whole or as a stream, from the replies of the process with the model."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from launcher.after.serve.documents import Completion, RequestRefused, client_gone
from launcher.after.serve.request import ChatRequest
from launcher.after.serve.request_queue import QueuedRequest, RequestQueue, ServerEnds
from launcher.protocol.codec import Message
from launcher.protocol.work.chats import (
    AnswerDone,
    AnswerFailed,
    AnswerPiece,
    PromptAccepted,
    PromptRefused,
)

_LOOK_S = 0.5
"""Seconds between two looks whether the client of an answer is still there."""
_UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def answer(
    request: Request, asked: ChatRequest, requests: RequestQueue, model: str, say: Callable[[str], None]
) -> Response:
    """The response to a request, once the process with the model has accepted it. `model`: its name in the answer."""
    queued = requests.ask(asked)
    chat = _ChatAnswer(request, requests, queued, Completion.of(model), say)
    try:
        await chat.accepted()
        if asked.stream:
            return StreamingResponse(chat.stream(asked), media_type="text/event-stream", headers=_UNBUFFERED)
        return JSONResponse(await chat.whole())
    except BaseException:
        requests.abandon(queued)
        raise


class _ChatAnswer:
    """The answer to one request, from the replies of the process with the model."""

    def __init__(
        self,
        request: Request,
        requests: RequestQueue,
        queued: QueuedRequest,
        documents: Completion,
        say: Callable[[str], None],
    ) -> None:
        self._request, self._requests, self._queued, self._documents = request, requests, queued, documents
        self._say, self._prompt_tokens, self._begun = say, 0, time.monotonic()

    async def accepted(self) -> None:
        """Returns once the process has begun to answer; RequestRefused if it does not."""
        reply = await self._next()
        assert isinstance(reply, PromptAccepted)
        self._prompt_tokens = reply.tokens

    async def whole(self) -> dict[str, Any]:
        """The complete answer."""
        while not isinstance(done := await self._next(), AnswerDone):
            pass
        self._tell(done.tokens)
        return self._documents.whole(done.text, _finish_reason(done), (self._prompt_tokens, done.tokens))

    async def stream(self, asked: ChatRequest) -> AsyncIterator[str]:
        """The answer as server-sent events, one for each piece."""
        try:
            yield _event(self._documents.chunk({"role": "assistant", "content": ""}))
            while not isinstance(reply := await self._next(), AnswerDone):
                assert isinstance(reply, AnswerPiece)
                yield _event(self._documents.chunk({"content": reply.text}))
            self._tell(reply.tokens)
            yield _event(self._documents.chunk({}, _finish_reason(reply)))
            if asked.include_usage:
                yield _event(self._documents.last_chunk((self._prompt_tokens, reply.tokens)))
            yield "data: [DONE]\n\n"
        except RequestRefused as error:  # the status was sent already
            yield _event(error.body)
        finally:
            self._requests.abandon(self._queued)

    async def _next(self) -> Message:
        """The next reply; RequestRefused for one that says that there is no answer, and if the client has disconnected."""
        while True:
            try:
                reply = await asyncio.wait_for(self._queued.replies.get(), _LOOK_S)
                break
            except asyncio.TimeoutError:
                if await self._request.is_disconnected():
                    raise client_gone() from None
        if isinstance(reply, PromptRefused):
            raise RequestRefused(reply.reason, param=reply.param, code=reply.code)
        if isinstance(reply, AnswerFailed):
            raise RequestRefused(reply.reason, status=500)
        if isinstance(reply, ServerEnds):
            raise RequestRefused(reply.reason, status=503)
        return reply

    def _tell(self, tokens: int) -> None:
        seconds = time.monotonic() - self._begun
        self._say(f"POST /v1/chat/completions 200: {self._prompt_tokens} + {tokens} tokens, {seconds:.1f} s")


def _finish_reason(done: AnswerDone) -> str:
    return "stop" if done.complete else "length"


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"
