"""Trained models that are loaded and answer: one process each; the least recently asked is ended if another needs room."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from typing import Any, TypeVar

from fastapi import Request

from launcher.after.chat import ChatSettings, wait_until_ready
from launcher.after.serve.documents import RequestRefused, client_gone
from launcher.after.serve.request_queue import RequestQueue
from launcher.after.worker import ModelProcess, worker
from launcher.api.models import TrainedModel
from launcher.errors import LauncherError
from launcher.output import say
from launcher.protocol.work.requests import ServeModel

T = TypeVar("T")

LONGEST = 1024
"""Most tokens of an answer."""
_WAITING = 16
"""Requests that wait for one model, or for room for another."""
_ROOM_S = 60.0
"""Seconds for which a request waits for room."""
_PATIENCE_S = 10.0
"""Seconds for which a request waits for room before requests for loaded models wait behind it."""
_LOOK_S = 0.1
"""Seconds between two looks for room."""
_CONNECTED_S = 0.5
"""Seconds between two looks whether the client is connected."""


class _Loaded:
    """One model: the thread that holds its process, and the queue in front of it."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained
        self.users = 0
        """Requests that use it or wait until it is loaded."""
        self.ready: asyncio.Future[RequestQueue] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._end = threading.Event()
        # the kernel kills a process when the thread that has started it ends: this one lives as long as the model
        threading.Thread(target=self._hold, name="model", daemon=True).start()

    @property
    def is_idle(self) -> bool:
        """Whether no request uses it or is in its queue."""
        return (
            not self.users
            and self.ready.done()
            and (self.ready.exception() is not None or self.ready.result().waiting == 0)
        )

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended, or could not be started."""
        return self.ready.done() and (
            self.ready.exception() is not None or self.ready.result().failure is not None
        )

    def end(self) -> None:
        """Ends the process."""
        self._end.set()

    def _hold(self) -> None:
        settings = ChatSettings(
            base=False,
            checkpoint=None if self.trained.step is None else str(self.trained.step),
            max_new_tokens=LONGEST,
            temperature=1.0,
        )
        try:
            model = settings.model(self.trained.run.parent, str(self.trained.run))
            with worker(ServeModel(model=model, max_new_tokens=LONGEST)) as work:
                wait_until_ready(work)
                self._loop.call_soon_threadsafe(self._set_ready, work)
                self._end.wait()
        except (LauncherError, OSError) as error:
            say(f"the model of {self.trained.run.parent.name} could not be loaded: {error}")
            refused = RequestRefused("the model could not be loaded; the server's log says why", status=503)
            self._loop.call_soon_threadsafe(self._set_failed, refused)

    def _set_ready(self, work: ModelProcess) -> None:
        requests = RequestQueue(work, _WAITING)
        if not self.ready.done():
            self.ready.set_result(requests)
            _keep(requests.run()).add_done_callback(lambda _: self._end.set())

    def _set_failed(self, error: RequestRefused) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # marks it as seen: asyncio warns of an exception that nobody has asked for


class Chats:
    """The loaded models, for the routes of one event loop."""

    def __init__(self, most: int) -> None:
        """`most`: models that are loaded at the same time."""
        self._most = most
        self._loaded: dict[TrainedModel, _Loaded] = {}
        """The least recently asked first."""
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._since: float | None = None
        """When the first of the requests that wait for room began to wait; None if none waits."""

    @property
    def loaded(self) -> int:
        """Number of models in memory."""
        return len(self._loaded)

    @contextlib.asynccontextmanager
    async def using(self, trained: TrainedModel, request: Request) -> AsyncGenerator[RequestQueue]:
        """The queue in front of a model, which is loaded if it is not, and stays for the block.

        RequestRefused if there is no room within a minute, or if the client has disconnected.
        """
        found = await while_connected(request, self._get(trained))
        try:
            yield await while_connected(request, asyncio.shield(found.ready))
        finally:
            found.users -= 1

    def close(self) -> None:
        """Ends all processes."""
        for one in self._loaded.values():
            one.end()
        self._loaded.clear()

    async def _get(self, trained: TrainedModel) -> _Loaded:
        """The model with one more user. A loaded one is used at once, unless a request has waited long for another model."""
        found = self._loaded.get(trained)
        if (
            found
            and not found.has_ended
            and time.monotonic() - (self._since or time.monotonic()) < _PATIENCE_S
        ):
            found.users += 1
            return found
        if self._waiting >= _WAITING:
            raise _no_room()
        self._waiting += 1
        try:
            async with self._turn:
                found = self._loaded.pop(trained, None)
                if found is None or found.has_ended:
                    try:
                        self._since = time.monotonic()
                        await self._make_room()
                    finally:
                        self._since = None
                    found = _Loaded(trained)
                found.users += 1
                self._loaded[trained] = found
                return found
        finally:
            self._waiting -= 1

    async def _make_room(self) -> None:
        deadline = time.monotonic() + _ROOM_S
        while True:
            for trained, one in list(self._loaded.items()):
                if one.has_ended or (one.is_idle and len(self._loaded) >= self._most):
                    one.end()
                    del self._loaded[trained]
            if len(self._loaded) < self._most:
                return
            if time.monotonic() > deadline:
                raise _no_room()
            await asyncio.sleep(_LOOK_S)


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of the work; RequestRefused, and the work is cancelled, if the client disconnects before it is done."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_CONNECTED_S))[0]:
            # if the work is done by now, its result must be returned: it has counted a user, whom only the caller subtracts
            if await request.is_disconnected() and not task.done():
                raise client_gone()
        return task.result()
    finally:
        task.cancel()


def _no_room() -> RequestRefused:
    return RequestRefused(
        "other models answer at the moment, and there is no room for another one; try again later",
        status=429,
        code="rate_limit_exceeded",
    )


_running: set[asyncio.Task[None]] = set()


def _keep(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that is not collected before its end. Source: Python's manual on asyncio.create_task."""
    task = asyncio.get_running_loop().create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task
