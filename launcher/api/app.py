"""The application: its routes, and what every request has: an id, a line in the log, and errors of the API's shape."""

import contextlib
import re
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from launcher.after.serve.documents import RequestRefused, error_body
from launcher.api.routes import ApiRoutes, Services
from launcher.output import say

REQUEST_ID = "x-request-id"
_PLAIN = re.compile(r"[^\x20-\x7e]")


def make_app(services: Services) -> FastAPI:
    """The application. FastAPI's pages are not served, since they load scripts from the internet."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        del app
        yield
        services.chats.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)

    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics() -> Response:
        text = await run_in_threadpool(services.figures.text, services.chats.loaded)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/metrics", metrics, methods=["GET"])
    app.include_router(ApiRoutes(services).router())
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _not_served)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(_RequestLog, services=services)
    return app


class _RequestLog:
    """Gives each request an id, a line in the log and its place among the figures. Keys and bodies are not logged."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app, self._figures = app, services.figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, begun, status = f"req_{secrets.token_hex(12)}", time.monotonic(), 500
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [(REQUEST_ID.encode(), request_id.encode()), (b"x-content-type-options", b"nosniff")]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.monotonic() - begun
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
            self._figures.count(method, route, status, seconds)
            tenant = scope["state"].get("tenant", "-")
            say(f"{request_id} {tenant} {method} {shown_path(scope['path'])} {status} {seconds:.3f} s")


def shown_path(path: str) -> str:
    """A path as it is logged: short and of printable ASCII characters, so that no client writes a line of its own."""
    return _PLAIN.sub("?", path)[:120]


async def _refused(request: Request, error: Any) -> Response:
    del request
    headers: dict[str, str] = {}
    if error.status in (429, 503):
        headers["Retry-After"] = "1"
    if error.code == "insufficient_quota":
        headers["x-should-retry"] = "false"  # OpenAI's libraries obey it
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.body, error.status, headers)


async def _invalid(request: Request, error: Any) -> Response:
    del request
    first = error.errors()[0]
    name = str(first["loc"][-1])[:60]
    return JSONResponse(error_body(f"{name}: {first['msg']}", 400, name), 400)


async def _not_served(request: Request, error: Any) -> Response:
    said = f"{request.method} {shown_path(request.url.path)} is not served here"
    return JSONResponse(error_body(said, error.status_code), error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    del error  # uvicorn writes the traceback
    request_id = request.state.request_id
    said = f"the server failed to answer this request; its log has the reason after the line of {request_id}"
    # this answer is sent outside of _RequestLog, which would add the header
    return JSONResponse(error_body(said, 500), 500, {REQUEST_ID: request_id})
