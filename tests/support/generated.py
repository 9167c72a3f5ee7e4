"""Runs of grpo whose answers come from the tests' small server: what is typed for them, and what they left."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

from launcher.ports import choose_port
from tests.support.paths import ROOT
from tests.support.runs import Finished, environment

STEPS, EVERY = 8, 2
SERVER = (sys.executable, f"{ROOT}/tests/support/generation_server.py")


def served(folder: Path, slow_s: float = 0.0) -> tuple[str, ...]:
    """What is typed for a run of two ranks, with the data and the model in `folder` (tests.matrix.cells.write_data).

    `slow_s`: seconds that the server takes for each request in addition.
    """
    words = (*SERVER, "--model", f"{folder}/teacher")
    typed = ",".join((*words, "--slow", f"'{slow_s}'", "--host", "'{host}'", "--port", "'{port}'"))
    return (
        "trainer=grpo", "plugin=[sharded_checkpoint]", "model.init=pretrained", f"model.name_or_path={folder}/teacher",
        "model.architecture=null", "generation=server", f"generation.command=[{typed}]", "batch.global_batch_size=8",
        "batch.micro_batch_size=2", f"data.path={folder}/prompts.jsonl", "data.eval_path=null", "model.max_length=384",
        "trainer.reward_functions=[{_target_: matrix_rewards.letters}]", "trainer.num_generations=4",
        "trainer.max_completion_length=16", f"trainer.max_steps={STEPS}", "trainer.learning_rate=1e-3",
        f"plugins.sharded_checkpoint.save_steps={EVERY}", "trainer.lr_scheduler_type=constant",
    )  # fmt: skip


def at_step(run: Finished, step: int) -> bool:
    """Whether the run has logged that step."""
    file = run.path / "metrics.jsonl"
    return file.exists() and any(line.get("step", 0) >= step for line in run.metrics())


def final(run: Finished, name: str) -> list[float]:
    """The value of each step, by the last attempt that took it."""
    found = {line["step"]: line[name] for line in run.metrics() if name in line}
    return [value for _, value in sorted(found.items())]


def same(run: Finished, whole: Finished) -> None:
    """Every step of a disturbed run is that of the undisturbed one, to the last digit."""
    for name in ("loss", "reward", "completions/mean_length"):
        assert len(final(whole, name)) == STEPS
        assert final(run, name) == final(whole, name), name


def until(true: Callable[[], bool], timeout_s: float = 240) -> None:
    """Waits until that is true."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


@contextlib.contextmanager
def serving(model: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(address, process) of a server of that model."""
    port = choose_port()
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*SERVER, "--model", str(model), "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT, env=environment(), stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.exceptions.RequestException):
                if requests.get(f"{url}/health", timeout=5).ok:
                    break
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield url, process
    finally:
        process.kill()
        process.wait()
