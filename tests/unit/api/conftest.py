"""One server of the API for the tests of a module, with two tenants."""

from collections.abc import Iterator
from dataclasses import dataclass

import openai
import pytest

from tests.support.api_server import ApiServer, queueing


@dataclass
class Api:
    """A server, and the keys of two tenants."""

    server: ApiServer
    anna: str
    bert: str

    def client(self, key: str = "") -> openai.OpenAI:
        return self.server.client(key or self.anna)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with queueing(tmp_path_factory.mktemp("api"), "--max-file-mib", "1") as server:
        keys = server.add("anna"), server.add("bert")
        server.start()
        yield Api(server, *keys)
