"""Real training of the tiny model on this machine, each distinct run once per session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.runs import Finished, launch


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Callable[..., Finished]:
    """A finished local run with these overrides."""
    known: dict[tuple[str, ...], Finished] = {}

    def train(*overrides: str) -> Finished:
        if overrides not in known:
            known[overrides] = launch(tmp_path_factory.mktemp("run"), cache, *overrides)
        return known[overrides]

    return train
