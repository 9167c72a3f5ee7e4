"""A request that waits for a model while its client disconnects."""

import asyncio

import pytest
from starlette.requests import Request

from launcher.after.serve.documents import RequestRefused
from launcher.api.chats import while_connected


def test_work_that_is_done_when_the_client_disconnects_is_not_lost():
    async def ask() -> str:
        work: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def receive():
            work.set_result("a model with one more user")
            return {"type": "http.disconnect"}

        return await while_connected(Request({"type": "http"}, receive), work)

    assert asyncio.run(ask()) == "a model with one more user"


def test_work_for_a_client_that_has_disconnected_is_cancelled():
    async def ask() -> bool:
        work: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def receive():
            return {"type": "http.disconnect"}

        with pytest.raises(RequestRefused, match="has disconnected"):
            await while_connected(Request({"type": "http"}, receive), work)
        return work.cancelled()

    assert asyncio.run(ask())
