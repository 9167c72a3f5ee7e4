"""grpo whose answers come from a server beside the ranks, on this machine: real ranks, a real server, real faults."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.run import RunDir
from launcher.status.state import read_status
from tests.matrix.cells import write_data
from tests.support.paths import ROOT
from tests.support.runs import Finished, command, environment

pytestmark = pytest.mark.train
STEPS, EVERY = 8, 2


def served(folder: Path, *more: str) -> tuple[str, ...]:
    """What is typed for a run of two ranks and a server in that folder, of the teacher's model."""
    words = (
        sys.executable,
        f"{ROOT}/tests/support/generation_server.py",
        "--model",
        f"{folder}/teacher",
        *more,
    )
    typed = ",".join((*words, "--host", "'{host}'", "--port", "'{port}'"))
    return (
        "trainer=grpo", "plugin=[sharded_checkpoint]", "model.init=pretrained", f"model.name_or_path={folder}/teacher",
        "model.architecture=null", "generation=server", f"generation.command=[{typed}]", "batch.global_batch_size=8",
        "batch.micro_batch_size=2", f"data.path={folder}/prompts.jsonl", "data.eval_path=null", "model.max_length=384",
        "trainer.reward_functions=[{_target_: matrix_rewards.letters}]", "trainer.num_generations=4",
        "trainer.max_completion_length=16", f"trainer.max_steps={STEPS}", "trainer.learning_rate=1e-3",
        f"plugins.sharded_checkpoint.save_steps={EVERY}", "trainer.lr_scheduler_type=constant",
    )  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, cache: Path):
    """A started run of that name, and its command's process."""
    folder = tmp_path_factory.mktemp("generation")
    write_data(folder)
    begun: list[subprocess.Popen[str]] = []

    def start(name: str, *overrides: str, slow_s: float = 0.0) -> tuple[Finished, subprocess.Popen[str]]:
        typed = command(
            "+experiment=tiny", "cluster=local", f"cache_dir={cache}", f"name={name}", "generation.nodes=0",
            *served(folder, "--slow", str(slow_s)), "--json", *overrides,
        )  # fmt: skip
        process = subprocess.Popen(
            typed, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        begun.append(process)
        until(lambda: bool(list(folder.glob(f"runs/{name}/*/job.json"))) or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        return Finished(next(folder.glob(f"runs/{name}/*"))), process

    yield start
    for process in begun:
        process.kill()


@pytest.fixture(scope="module")
def whole(start) -> Finished:
    """The undisturbed run."""
    run, process = start("whole", "resources.gpus_per_node=2")
    ends(run, process)
    return run


def until(true: Callable[[], bool], timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


def ends(run: Finished, process: subprocess.Popen[str]) -> None:
    """Waits for the end of a run, which must be a good one."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, f"{out}\n{err}\n{run.logs()}"


def at_step(run: Finished, step: int) -> bool:
    file = run.path / "metrics.jsonl"
    return file.exists() and any(line.get("step", 0) >= step for line in run.metrics())


def final(run: Finished, name: str) -> list[float]:
    """The value of each step, by the last attempt that took it."""
    return [
        value for _, value in sorted({one["step"]: one[name] for one in run.metrics() if name in one}.items())
    ]


def server_pid(run: Finished) -> int:
    """The process of its newest server, by the port that it was given."""
    port = run.events("server_ready")[-1]["url"].rpartition(":")[2]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if port.encode() in words:
            return int(path.parent.name)
    raise AssertionError("no server runs")


def test_the_server_has_the_weights_of_every_step_and_the_ranks_say_how_long_they_waited(whole):
    assert len(whole.losses) == STEPS
    log = next(whole.path.glob("logs/*_1/*.server.log")).read_text().splitlines()
    assert [line for line in log if line.startswith(("weights", "completions"))] == [
        word for step in range(1, STEPS + 1) for word in (f"weights {step}", f"completions {step}")
    ]
    assert len(set(final(whole, "reward"))) > 1
    assert all(0 < share <= 1 for share in final(whole, "generation_wait_share"))
    status = read_status(RunDir(whole.path))
    assert status.generation and status.generation["lost"] == 0 and status.generation["wait_share"] > 0
    assert "completions" in subprocess.run(
        command("logs", str(whole.path)), env=environment(), capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


def test_a_killed_server_comes_back_without_a_new_attempt_and_a_killed_rank_with_one(start, whole):
    run, process = start("killed", "resources.gpus_per_node=2", slow_s=0.3)
    until(lambda: at_step(run, 3))
    os.kill(server_pid(run), signal.SIGKILL)
    until(lambda: at_step(run, 5))
    assert [event["attempt"] for event in run.events("started")] == [1]
    assert [event["reason"] for event in run.events("server_lost")] == ["it was ended by signal 9"]
    assert len(run.events("server_ready")) == 2
    os.kill(rank_pid(run), signal.SIGKILL)
    ends(run, process)
    assert [event["how"] for event in run.events("ended")] == ["crashed"]
    assert run.events("resumed")[0]["step"] >= 4
    for name in ("loss", "reward", "completions/mean_length"):
        assert final(run, name) == final(whole, name), name
    assert json.loads((run.path / "plan.json").read_text())["generation"]["restarts"] == 3


def rank_pid(run: Finished) -> int:
    """The youngest child of the run's warm process."""
    for path in sorted(Path("/proc").glob("[0-9]*/cmdline"), key=lambda path: -int(path.parent.name)):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"launcher.train.warm" in words and str(run.path).encode() in words:
            return int(path.parent.name)
    raise AssertionError("no rank runs")
