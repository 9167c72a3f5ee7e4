"""The process with the fake CUDA device, started when the first test of a folder asks for it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakecuda import guard
from tests.fakecuda.cases import Case, write_data
from tests.fakecuda.hold import Held, hold
from tests.fakecuda.serve import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    if why := guard.missing():
        print(f"\nNOT TESTED: {why}", file=sys.__stderr__, flush=True)
        pytest.skip(why)
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, models without weights, and run dirs."""
    folder = tmp_path_factory.mktemp("fakecuda")
    write_data(folder)
    return folder


@pytest.fixture(scope="session")
def held(server: Server, folder: Path) -> Callable[[Case], Held]:
    """A case, run on the fake device once."""
    known: dict[Case, Held] = {}

    def run(case: Case) -> Held:
        if case not in known:
            known[case] = hold(case, server, folder)
        return known[case]

    return run
