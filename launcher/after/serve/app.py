"""The routes of the server: /v1/chat/completions, /v1/models and /health. Every error has OpenAI's shape."""

import asyncio
import contextlib
import hmac
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from launcher.after.serve.documents import Completion, RequestRefused, error_body
from launcher.after.serve.request import ChatRequest, parse_request
from launcher.after.serve.request_queue import QueuedRequest, RequestQueue

MOST_BYTES = 4 << 20
"""Bytes of the largest request."""
_BODY_S = 30.0
"""Seconds within which the body of a request must have arrived."""
_LOOK_S = 0.5
"""Seconds between two looks whether the client of an answer is still there."""
_GONE = 499
"""Status in the log of a request whose client has gone; it is sent to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is served, and to whom."""

    model: str
    """The name that a request gives as `model`."""
    longest: int
    """Most tokens of an answer."""
    key: str | None
    """The key that a request must have; None: none."""
    hosts: frozenset[str] | None
    """Names by which clients may address the server, without the port; None: any."""
    say: Callable[[str], None]
    """Gets a line for each request."""


def make_app(requests: RequestQueue, served: Served, on_end: Callable[[], None]) -> FastAPI:
    """The application; `on_end` is called when the process with the model has ended. FastAPI's pages are not served, since they
    load scripts from the internet."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        del app
        task = asyncio.create_task(requests.run())
        task.add_done_callback(lambda _: on_end())
        yield
        task.cancel()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.include_router(_health(requests))
    app.include_router(_routes(requests, served))

    @app.exception_handler(RequestRefused)
    async def refused(request: Request, error: RequestRefused) -> Response:  # pyright: ignore[reportUnusedFunction]
        served.say(f"{request.method} {request.url.path} {error.status}: {error}")
        headers = {"Retry-After": "1"} if error.status in (429, 503) else None
        return JSONResponse(error.body, error.status, headers)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction]
        known = "POST /v1/chat/completions, GET /v1/models and GET /health"
        said = f"{request.method} {request.url.path} is not served; {known} are"
        return JSONResponse(error_body(said, error.status_code), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:  # pyright: ignore[reportUnusedFunction]
        del request, error  # uvicorn writes the traceback
        return JSONResponse(error_body("the server has failed on this request; its log says why", 500), 500)

    return app


def _allowed(served: Served) -> Callable[[Request], Awaitable[None]]:
    async def allowed(request: Request) -> None:
        """Raises RequestRefused for a request without the key, or one that a web page sent under a name of its own."""
        if served.hosts is not None and (request.url.hostname or "") not in served.hosts:
            raise RequestRefused(
                f"this server answers only under {', '.join(sorted(served.hosts))}, unless it has a key",
                status=403,
            )
        if served.key is None:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), served.key.encode()):
            raise RequestRefused(
                "the request has no valid key; send the header Authorization: Bearer KEY",
                status=401,
                code="invalid_api_key",
            )

    return allowed


def _health(requests: RequestQueue) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    async def health() -> Response:  # pyright: ignore[reportUnusedFunction]
        ok = requests.failure is None
        return JSONResponse(
            {"status": "ok" if ok else "failed", "waiting": requests.waiting}, 200 if ok else 503
        )

    return router


def _routes(requests: RequestQueue, served: Served) -> APIRouter:
    router = APIRouter(prefix="/v1", dependencies=[Depends(_allowed(served))])
    model = {"id": served.model, "object": "model", "created": int(time.time()), "owned_by": "launcher"}

    @router.get("/models")
    async def models() -> Response:  # pyright: ignore[reportUnusedFunction]
        return JSONResponse({"object": "list", "data": [model]})

    @router.get("/models/{name:path}")
    async def one_model(name: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        _check_model(name, served)
        return JSONResponse(model)

    @router.post("/chat/completions")
    async def completions(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        asked = parse_request(await _body(request), served.longest)
        _check_model(asked.model, served)
        queued = requests.ask(asked.for_worker())
        answer = _ChatAnswer(request, requests, queued, Completion.of(served.model), served)
        try:
            await answer.accepted()
            if asked.stream:
                return StreamingResponse(
                    answer.stream(asked), media_type="text/event-stream", headers=_UNBUFFERED
                )
            return JSONResponse(await answer.whole())
        except BaseException:
            requests.abandon(queued)
            raise

    return router


_UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def _check_model(name: str, served: Served) -> None:
    if name != served.model:
        raise RequestRefused(
            f"the model {name[:100]} is not served here; {served.model} is",
            status=404,
            param="model",
            code="model_not_found",
        )


async def _body(request: Request) -> bytes:
    """The body of a request; RequestRefused if it is not JSON by its type, too large, or does not arrive."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # another type could be sent by any web page
        raise RequestRefused("the request must have the header Content-Type: application/json", status=415)
    try:
        return await asyncio.wait_for(_read(request), _BODY_S)
    except asyncio.TimeoutError:
        raise RequestRefused(f"the body did not arrive within {_BODY_S:g} s", status=408) from None


async def _read(request: Request) -> bytes:
    pieces: list[bytes] = []
    size = 0
    announced = request.headers.get("content-length", "")
    too_large = RequestRefused(
        f"the request is larger than {MOST_BYTES:,} bytes; send fewer messages", status=413
    )
    if announced.isdecimal() and int(announced[:20]) > MOST_BYTES:
        raise too_large
    async for piece in request.stream():
        size += len(piece)
        if size > MOST_BYTES:
            raise too_large
        pieces.append(piece)
    return b"".join(pieces)


class _ChatAnswer:
    """The answer to one request, from the replies of the process with the model."""

    def __init__(
        self,
        request: Request,
        requests: RequestQueue,
        queued: QueuedRequest,
        documents: Completion,
        served: Served,
    ) -> None:
        self._request, self._requests, self._queued, self._documents = request, requests, queued, documents
        self._say, self._prompt_tokens, self._begun = served.say, 0, time.monotonic()

    async def accepted(self) -> None:
        """Returns once the process has begun to answer; RequestRefused if it does not."""
        self._prompt_tokens = (await self._next())["accepted"]

    async def whole(self) -> dict[str, Any]:
        """The complete answer."""
        pieces: list[str] = []
        while "done" not in (reply := await self._next()):
            pieces.append(reply["text"])
        done = reply["done"]
        self._tell(done["tokens"])
        tokens = (self._prompt_tokens, done["tokens"])
        return self._documents.whole("".join(pieces), done["finish_reason"], tokens)

    async def stream(self, asked: ChatRequest) -> AsyncIterator[str]:
        """The answer as server-sent events, one for each piece."""
        try:
            yield _event(self._documents.chunk({"role": "assistant", "content": ""}))
            while "done" not in (reply := await self._next()):
                yield _event(self._documents.chunk({"content": reply["text"]}))
            done = reply["done"]
            self._tell(done["tokens"])
            yield _event(self._documents.chunk({}, done["finish_reason"]))
            if asked.include_usage:
                yield _event(self._documents.last_chunk((self._prompt_tokens, done["tokens"])))
            yield "data: [DONE]\n\n"
        except RequestRefused as error:  # the status was sent already
            yield _event(error.body)
        finally:
            self._requests.abandon(self._queued)

    async def _next(self) -> dict[str, Any]:
        """The next reply; RequestRefused for one that says that there is no answer, and if the client has gone."""
        while True:
            try:
                reply = await asyncio.wait_for(self._queued.replies.get(), _LOOK_S)
                break
            except asyncio.TimeoutError:
                if await self._request.is_disconnected():
                    raise RequestRefused("the client has gone", status=_GONE) from None
        if "refused" in reply:
            refused = reply["refused"]
            raise RequestRefused(refused["message"], param=refused["param"], code=refused["code"])
        if "failed" in reply:
            raise RequestRefused(reply["failed"], status=500)
        if "gone" in reply:
            raise RequestRefused(reply["gone"], status=503)
        return reply

    def _tell(self, tokens: int) -> None:
        seconds = time.monotonic() - self._begun
        self._say(f"POST /v1/chat/completions 200: {self._prompt_tokens} + {tokens} tokens, {seconds:.1f} s")


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"
