"""Trained models that are loaded and answer: one process each, the least recently asked makes room for another."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from launcher.after.chat import ChatSettings, model_request, wait_until_ready
from launcher.after.serve.documents import RequestRefused
from launcher.after.serve.request_queue import RequestQueue
from launcher.after.worker import ModelProcess, worker
from launcher.api.models import TrainedModel
from launcher.errors import LauncherError
from launcher.output import say

LONGEST = 1024
"""Most tokens of an answer."""
_WAITING = 16


class _Loaded:
    """One model: the thread that holds its process, and the queue in front of it."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained
        self.ready: asyncio.Future[RequestQueue] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._end = threading.Event()
        # the kernel kills a process when the thread that has started it ends: this one lives as long as the model
        threading.Thread(target=self._hold, name="model", daemon=True).start()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in its queue."""
        return self.ready.done() and (self.ready.exception() is not None or self.ready.result().waiting == 0)

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
            request = model_request("serve", self.trained.run.parent, str(self.trained.run), settings)
            with worker(request) as work:
                wait_until_ready(work)
                self._loop.call_soon_threadsafe(self._set_ready, work)
                self._end.wait()
        except LauncherError as error:
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
            self.ready.exception()  # it is told to whoever asks; nobody may


class Chats:
    """The loaded models, for the routes of one event loop."""

    def __init__(self, most: int) -> None:
        """`most`: models that are loaded at the same time."""
        self._most = most
        self._loaded: dict[TrainedModel, _Loaded] = {}
        """The least recently asked first."""

    @property
    def loaded(self) -> int:
        """Number of models in memory."""
        return len(self._loaded)

    async def requests(self, trained: TrainedModel) -> RequestQueue:
        """The queue in front of a model, which is loaded if it is not; RequestRefused if there is no room for it now."""
        found = self._loaded.pop(trained, None)
        if found is None or found.has_ended:
            self._make_room()
            found = _Loaded(trained)
        self._loaded[trained] = found
        return await asyncio.shield(found.ready)

    def close(self) -> None:
        """Ends all processes."""
        for one in self._loaded.values():
            one.end()
        self._loaded.clear()

    def _make_room(self) -> None:
        for trained, one in list(self._loaded.items()):
            if len(self._loaded) < self._most and not one.has_ended:
                return
            if one.is_idle:
                one.end()
                del self._loaded[trained]
        if len(self._loaded) >= self._most:
            raise RequestRefused(
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
