"""The routes below /v1. Each finds the tenant of the request's key first, and then only what belongs to that tenant.

Source: OpenAI's openapi.yml 2.3.0.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from launcher.after.serve.answer import answer
from launcher.after.serve.body import read_body
from launcher.after.serve.documents import RequestRefused
from launcher.after.serve.request import parse_request
from launcher.api.chats import LONGEST, Chats
from launcher.api.documents import list_document
from launcher.api.figures import Figures
from launcher.api.files import StoredFiles
from launcher.api.job_request import parse_job_request
from launcher.api.job_rows import Jobs, NewJob
from launcher.api.models import Models
from launcher.api.pages import ListPage
from launcher.api.store import Store
from launcher.api.tenants import Tenant, find_tenant
from launcher.api.upload import read_upload
from launcher.output import say

T = TypeVar("T")

_JOB_BYTES = 1 << 18
_LONGEST_KEY = 255
_METADATA = re.compile(r"metadata\[([^\[\]]{1,64})\]")
_UPLOADS = 8
"""Uploads that are read at the same time, of all tenants."""

_After = Annotated[str | None, Query(max_length=256)]
_Limit = Annotated[int, Query(ge=1, le=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the routes use."""

    store: Store
    files: StoredFiles
    jobs: Jobs
    models: Models
    chats: Chats
    figures: Figures
    wake: Callable[[], None]
    """Tells the carrier of jobs that a request has changed one."""
    most_bytes: int
    """Bytes of the largest file."""


def tenant_of(request: Request) -> Tenant:
    """The tenant that has been found for the request."""
    return request.state.tenant_found


class ApiRoutes:
    """The routes, which share the services."""

    def __init__(self, services: Services) -> None:
        self._all = services
        self._uploads = 0

    def router(self) -> APIRouter:
        """All routes."""
        router = APIRouter(prefix="/v1", dependencies=[Depends(self._allow)])
        jobs = "/fine_tuning/jobs"
        for method, path, function in (
            ("POST", "/files", self.upload),
            ("GET", "/files", self.list_files),
            ("GET", "/files/{file_id}", self.file),
            ("GET", "/files/{file_id}/content", self.content),
            ("DELETE", "/files/{file_id}", self.delete_file),
            ("POST", jobs, self.create),
            ("GET", jobs, self.list_jobs),
            ("GET", f"{jobs}/{{job_id}}", self.job),
            ("POST", f"{jobs}/{{job_id}}/cancel", self.cancel),
            ("POST", f"{jobs}/{{job_id}}/pause", self.pause),
            ("POST", f"{jobs}/{{job_id}}/resume", self.resume),
            ("GET", f"{jobs}/{{job_id}}/events", self.events),
            ("GET", f"{jobs}/{{job_id}}/checkpoints", self.checkpoints),
            ("GET", "/models", self.list_models),
            ("GET", "/models/{name:path}", self.model),
            ("POST", "/chat/completions", self.chat),
        ):
            router.add_api_route(path, function, methods=[method], response_model=None)
        return router

    async def _allow(self, request: Request) -> None:
        """Finds the tenant of the request's key; RequestRefused without one."""
        given = request.headers.get("authorization", "")
        tenant = await run_in_threadpool(find_tenant, self._all.store, given)
        request.state.tenant_found, request.state.tenant = tenant, tenant.name

    async def upload(self, request: Request) -> Response:
        tenant = tenant_of(request)
        if self._uploads >= _UPLOADS:
            raise RequestRefused(
                f"{_UPLOADS} uploads are arriving already, the most at a time; try again later",
                status=429,
                code="rate_limit_exceeded",
            )
        self._uploads += 1
        try:
            upload = await read_upload(request, self._all.most_bytes)
            return JSONResponse(await run_in_threadpool(self._all.files.add, tenant, upload))
        finally:
            self._uploads -= 1

    def list_files(
        self,
        request: Request,
        purpose: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=10000)] = 10000,
        order: Literal["asc", "desc"] = "desc",
        after: _After = None,
    ) -> Response:
        page = ListPage(limit=limit, after=after, newest_first=order == "desc")
        return JSONResponse(self._all.files.page(tenant_of(request), page, purpose))

    def file(self, request: Request, file_id: str) -> Response:
        return JSONResponse(self._all.files.document(tenant_of(request), file_id))

    def content(self, request: Request, file_id: str) -> Response:
        path, row = self._all.files.content(tenant_of(request), file_id)
        return FileResponse(path, media_type="application/octet-stream", filename=row["filename"])

    def delete_file(self, request: Request, file_id: str) -> Response:
        return JSONResponse(self._all.files.delete(tenant_of(request), file_id))

    async def create(self, request: Request) -> Response:
        asked = parse_job_request(await read_body(request, _JOB_BYTES))
        key = request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise RequestRefused(f"Idempotency-Key must have 1 to {_LONGEST_KEY} characters")

        def create() -> dict[str, Any]:
            tenant, new = tenant_of(request), NewJob(request=asked, request_key=key)
            if known := self._all.jobs.repeated(tenant, new):
                return known  # whatever is offered now, the first request was accepted
            self._all.models.check_offered(asked.model, asked.method_name)
            return self._all.jobs.create(tenant, new)

        return self._woken(await run_in_threadpool(create))

    def list_jobs(self, request: Request, after: _After = None, limit: _Limit = 20) -> Response:
        wanted = _metadata(request.query_params)
        return JSONResponse(
            self._all.jobs.page(tenant_of(request), ListPage(limit=limit, after=after), wanted)
        )

    def job(self, request: Request, job_id: str) -> Response:
        return JSONResponse(self._all.jobs.document(tenant_of(request), job_id))

    def cancel(self, request: Request, job_id: str) -> Response:
        return self._woken(self._all.jobs.cancel(tenant_of(request), job_id))

    def pause(self, request: Request, job_id: str) -> Response:
        return self._woken(self._all.jobs.pause(tenant_of(request), job_id))

    def resume(self, request: Request, job_id: str) -> Response:
        return self._woken(self._all.jobs.resume(tenant_of(request), job_id))

    def events(self, request: Request, job_id: str, after: _After = None, limit: _Limit = 20) -> Response:
        return JSONResponse(
            self._all.jobs.events(tenant_of(request), job_id, ListPage(limit=limit, after=after))
        )

    def checkpoints(
        self, request: Request, job_id: str, after: _After = None, limit: _Limit = 10
    ) -> Response:
        found = self._all.models.checkpoints(self._all.jobs.find(tenant_of(request), job_id))
        if after is not None:
            ids = [one["id"] for one in found]
            if after not in ids:
                raise RequestRefused(f"No such object: {after[:100]}", status=404, param="after")
            found = found[ids.index(after) + 1 :]
        return JSONResponse(list_document(found[:limit], len(found) > limit))

    def list_models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": self._all.models.documents(tenant_of(request))})

    def model(self, request: Request, name: str) -> Response:
        return JSONResponse(self._all.models.document(tenant_of(request), name))

    async def chat(self, request: Request) -> Response:
        asked = parse_request(await read_body(request), LONGEST)
        trained = await run_in_threadpool(self._all.models.trained, tenant_of(request), asked.model)
        request_id = request.state.request_id
        async with self._all.chats.using(trained, request) as requests:
            return await answer(
                request, asked, requests, asked.model, lambda line: say(f"{request_id} {line}")
            )

    def _woken(self, document: dict[str, Any]) -> Response:
        self._all.wake()
        return JSONResponse(document)


def _metadata(query: Mapping[str, str]) -> dict[str, str] | None:
    """The wanted values of a job's metadata; None for jobs without metadata. RequestRefused for another form."""
    given = {name: value for name, value in query.items() if name.startswith("metadata")}
    if given == {"metadata": "null"}:
        return None
    found = {matched[1]: value for name, value in given.items() if (matched := _METADATA.fullmatch(name))}
    if len(found) != len(given):
        raise RequestRefused("metadata must be metadata[KEY]=VALUE, or metadata=null", param="metadata")
    return found
