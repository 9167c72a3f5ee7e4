"""The queue in front of the process with the model, which answers one request after another."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field

from launcher.after.serve.documents import RequestRefused
from launcher.after.serve.request import ChatRequest
from launcher.after.worker import ModelProcess, WorkFailed
from launcher.errors import Exit
from launcher.protocol.codec import Message
from launcher.protocol.work.chats import AnswerDone, AnswerFailed, CancelAnswer, PromptRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEnds:
    """The server ends before the answer does."""

    reason: str
    """Why, as a sentence."""


Reply = Message | ServerEnds


@dataclass(eq=False, slots=True)
class QueuedRequest:
    """A request on its way through the queue."""

    asked: ChatRequest
    replies: "asyncio.Queue[Reply]" = field(default_factory=lambda: asyncio.Queue[Reply]())
    """What the process replies, up to AnswerDone, PromptRefused, AnswerFailed or ServerEnds."""
    abandoned: bool = False
    """Whether nobody waits for the answer any more."""
    number: int | None = None
    """Its number, once the process has it."""


class RequestQueue:
    """The process with the model, for the routes of one event loop."""

    def __init__(self, work: ModelProcess, most_waiting: int) -> None:
        """`most_waiting`: requests that wait behind the one that is answered; a further one is refused."""
        self.failure: WorkFailed | None = None
        """Why the process has ended, once it has."""
        self.answered = 0
        """Requests that were answered to their end."""
        self._work, self._most_waiting = work, most_waiting
        self._queue: list[QueuedRequest] = []
        """The request that is answered, and those behind it."""
        self._arrived = asyncio.Event()
        self._inbox: asyncio.Queue[Message | WorkFailed] = asyncio.Queue()
        self._closed = ""
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Requests in the queue, with the one that is answered."""
        return len(self._queue)

    def ask(self, asked: ChatRequest) -> QueuedRequest:
        """The request at the end of the queue; RequestRefused if the queue is full or the server ends."""
        if self._closed:
            raise RequestRefused(self._closed, status=503)
        if len(self._queue) > self._most_waiting:
            raise RequestRefused(
                f"{self._most_waiting} requests wait already; try again later",
                status=429,
                code="rate_limit_exceeded",
            )
        queued = QueuedRequest(asked)
        self._queue.append(queued)
        self._arrived.set()
        return queued

    def abandon(self, queued: QueuedRequest) -> None:
        """Takes a request out of the queue, or ends its answer early."""
        queued.abandoned = True
        if queued.number is not None:
            self._work.send(CancelAnswer(id=queued.number))
        elif queued in self._queue:
            self._queue.remove(queued)

    def close(self, why: str) -> None:
        """Ends all answers and refuses every further request."""
        self._closed = why
        for queued in list(self._queue):
            queued.replies.put_nowait(ServerEnds(reason=why))
            self.abandon(queued)

    def close_from_outside(self, why: str) -> None:
        """The same as close, from another thread."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close, why)

    def join(self) -> None:
        """Returns when nothing reads the process's replies any more; the process must have ended."""
        if self._reader:
            self._reader.join()

    async def run(self) -> None:
        """Answers requests until the process ends."""
        self._loop = asyncio.get_running_loop()
        self._reader = threading.Thread(target=self._read, args=(self._loop,), daemon=True)
        self._reader.start()
        while self.failure is None:
            while not self._queue and self.failure is None:
                self._arrived.clear()
                await self._arrived.wait()
            if self._queue:
                await self._answer(self._queue[0])
        self.close("the process with the model has ended, and so does the server")

    async def _answer(self, queued: QueuedRequest) -> None:
        queued.number = self._count = self._count + 1
        self._work.send(queued.asked.for_worker(queued.number))
        while True:
            reply = await self._inbox.get()
            if isinstance(reply, WorkFailed):
                return
            queued.replies.put_nowait(reply)
            if isinstance(reply, AnswerDone | PromptRefused | AnswerFailed):
                self.answered += isinstance(reply, AnswerDone) and not queued.abandoned
                queued.number = None
                self._queue.remove(queued)
                return

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Passes on what the process replies; a thread, because reading a pipe blocks."""
        with contextlib.suppress(RuntimeError):  # the server has ended, and its loop with it
            try:
                for reply in self._work.replies():
                    loop.call_soon_threadsafe(self._inbox.put_nowait, reply)
                failure = WorkFailed("the process with the model has ended", Exit.FAILED)
            except WorkFailed as error:
                failure = error
            loop.call_soon_threadsafe(self._end, failure)

    def _end(self, failure: WorkFailed) -> None:
        self.failure = failure
        self._arrived.set()
        self._inbox.put_nowait(failure)
