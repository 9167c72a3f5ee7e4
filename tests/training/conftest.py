"""Real training of the tiny model on this machine, each distinct run once per session."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.runs import Finished, launch
from tests.support.warm import Warm
from tests.training.resuming import planned

ANSWER = "red, green and blue"


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
def learned(
    trained: Callable[..., Finished], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Finished, Path]:
    """A full fine-tune that knows one answer by heart, and its data."""
    data = tmp_path_factory.mktemp("data") / "colours.jsonl"
    turns = [{"role": "user", "content": "Which colours?"}, {"role": "assistant", "content": ANSWER}]
    data.write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(16)))
    run = trained(
        "plugin=[]", f"data.path={data}", "data.eval_path=null", "data.check=errors", "trainer.max_steps=120",
        "trainer.learning_rate=3e-3", "trainer.loss_spike=null",
    )  # fmt: skip
    return run, data


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
