"""The routes of the server: /v1/chat/completions, /v1/models and /health. Every error has OpenAI's shape."""

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from launcher.after.serve.answer import answer
from launcher.after.serve.body import read_body
from launcher.after.serve.documents import RequestRefused, error_body
from launcher.after.serve.request import parse_request
from launcher.after.serve.request_queue import RequestQueue


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
        said = f"{request.method} {request.url.path} is not served; this server has {known}"
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
        asked = parse_request(await read_body(request), served.longest)
        _check_model(asked.model, served)
        return await answer(request, asked, requests, served.model, served.say)

    return router


def _check_model(name: str, served: Served) -> None:
    if name != served.model:
        raise RequestRefused(
            f"the model {name[:100]} is not served here; {served.model} is",
            status=404,
            param="model",
            code="model_not_found",
        )
