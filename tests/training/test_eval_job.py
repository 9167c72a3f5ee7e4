"""Evaluations on tasks during training, on this machine: the training does not notice them, whether they succeed or fail."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import command_lines
from tests.support.runs import Finished, command, environment

pytestmark = pytest.mark.train

STAND_INS = ROOT / "tests" / "support" / "stand_ins"
TYPED = (
    "+experiment=tiny", "cluster=local", "plugin=[lora,sharded_checkpoint]", "plugins.sharded_checkpoint.save_steps=2",
    "plugins.sharded_checkpoint.keep_last=1", "trainer.max_steps=6", "data.check=off", "data.eval_path=null", "--json",
)  # fmt: skip


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, cache: Path
) -> Callable[..., tuple[subprocess.Popen[str], Path]]:
    """A run in a folder with task files, and that folder."""

    def started(*overrides: str) -> tuple[subprocess.Popen[str], Path]:
        folder = tmp_path_factory.mktemp("evaluated")
        for name, more in {"colours": "", "broken": "fails: true\n", "slow": "sleeps: 600\n"}.items():
            (folder / f"{name}.yaml").write_text(f"task: {name}\n{more}")
        process = subprocess.Popen(
            command(*TYPED, f"cache_dir={cache}", *overrides), cwd=folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment(PYTHONPATH=str(STAND_INS)),
        )  # fmt: skip
        return process, folder

    return started


@pytest.fixture(scope="module")
def done(started) -> Callable[..., Finished]:
    """A finished run."""

    def done(*overrides: str) -> Finished:
        process, folder = started(*overrides)
        said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return Finished(run_in(folder))

    return done


def run_in(folder: Path) -> Path:
    (plan,) = folder.glob("runs/*/*/plan.json")
    return plan.parent


def steps(run: Finished) -> list[str]:
    return sorted(path.name[-2:] for path in (run.path / "checkpoints").glob("step_*"))


def test_the_losses_are_bitwise_those_of_a_run_without_and_the_best_checkpoint_stays(done):
    with_jobs = done(
        "eval_job={every: 2, tasks: [colours.yaml], metric: colours/acc, keep_best: 1, max_rows: 5}"
    )
    assert with_jobs.losses == done().losses and len(with_jobs.losses) == 6
    scores = {
        line["step"]: line["tasks/colours/acc"] for line in with_jobs.metrics() if "tasks/colours/acc" in line
    }
    assert sorted(scores) == [2, 4, 6] and len(set(scores.values())) == 3
    evaluated = with_jobs.events("tasks_evaluated")
    assert [event["checkpoint"][-2:] for event in evaluated] == ["02", "04", "06"]
    assert with_jobs.events("eval_job_failed") == []
    assert steps(with_jobs)[-1] == "06"
    assert not (with_jobs.path / "model" / "config.json").exists()  # nothing is exported by an evaluation
    printed = subprocess.run(
        command("checkpoints", str(with_jobs.path), "--prune", "--json"), capture_output=True, text=True,
        env=environment(PYTHONPATH=str(STAND_INS)),
    )  # fmt: skip
    assert printed.returncode == 0, printed.stderr
    best = max(scores, key=lambda step: scores[step])
    kept = {row["step"]: row["for"] for row in json.loads(printed.stdout)["checkpoints"]}
    assert set(kept) == {6, best} and "best task" in kept[best]


@pytest.mark.long
def test_a_failing_evaluation_is_told_and_the_run_finishes_as_without_it(done):
    run = done("eval_job={every: 4, tasks: [broken.yaml]}")
    assert run.losses == done().losses
    (failed,) = run.events("eval_job_failed")
    assert failed["step"] == 4 and "this task always fails" in failed["reason"]
    assert [event["event"] for event in run.events()][-1] in ("finished", "eval_job_failed")
    assert run.events("finished")


@pytest.mark.long
def test_a_cancel_ends_the_evaluation_with_its_run(started):
    process, folder = started("eval_job={every: 2, tasks: [slow.yaml]}", "trainer.max_steps=400")
    deadline = time.monotonic() + 200
    log = "evaluations/step_00000002/lock"
    while not list(folder.glob(f"runs/*/*/{log}")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    run = run_in(folder)
    assert (
        subprocess.run(command("cancel", str(run)), env=environment(PYTHONPATH=str(STAND_INS))).returncode
        == 0
    )
    process.communicate(timeout=100)
    assert process.returncode != 0
    assert _processes_of(run) == []
    assert not (run / "evaluations" / "step_00000002" / "result.json").exists()


def _processes_of(run: Path) -> list[str]:
    """Command lines of processes that name the run dir, some time later at most."""
    deadline = time.monotonic() + 15
    while True:
        lines = {
            pid: line.decode(errors="replace") for pid, line in command_lines().items() if pid != os.getpid()
        }
        found = [line for line in lines.values() if str(run) in line]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)
