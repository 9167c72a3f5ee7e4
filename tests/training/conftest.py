"""Real training of the tiny model on this machine, each distinct run once per session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.runs import Finished, launch
from tests.support.warm import Warm
from tests.training.resuming import planned


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Callable[..., Finished]:
    """A finished local run with these overrides."""
    known: dict[tuple[str, ...], Finished] = {}

    def train(*overrides: str) -> Finished:
        if overrides not in known:
            known[overrides] = launch(tmp_path_factory.mktemp("run"), cache, *overrides)
        return known[overrides]

    return train


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """One process with the training stack for all tests: to import it takes five seconds of CPU time."""
    process = Warm()
    yield process
    process.close()


@pytest.fixture(scope="session")
def straight(warm: Warm, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Finished]:
    """An undisturbed run with these overrides."""
    known: dict[tuple[str, ...], Finished] = {}

    def straight(*overrides: str) -> Finished:
        if overrides not in known:
            run = planned(tmp_path_factory.mktemp("straight"), cache, *overrides)
            done = warm.run(run.path)
            assert set(done["codes"]) == {0}, run.logs()
            known[overrides] = run
        return known[overrides]

    return straight
