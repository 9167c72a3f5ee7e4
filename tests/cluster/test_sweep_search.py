"""A grid and a search on the real cluster, with a node that crashes and a trial that fails in the middle."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.sweep.claims import read_claims
from launcher.sweep.folder import SweepDir
from launcher.sweep.read import Sweep, Trial, read_sweep
from tests.support.lab import Lab
from tests.support.runs import command

pytestmark = [pytest.mark.slurm, pytest.mark.train, pytest.mark.long, pytest.mark.timeout(5400)]

STEPS, EVERY, TRIALS = 18, 2, 24
COMMON = (
    "+experiment=tiny", "cluster=slurm", "resources.device=cpu", f"trainer.max_steps={STEPS}", f"trainer.eval_steps={EVERY}",
    "plugins.sharded_checkpoint.save_steps=4", "+plugins.failing._target_=failing.Failing", "data.check=off",
    "++cluster.sbatch.exclusive=true", "sweep.parallel=3",
)  # fmt: skip
RATES, RANKS = "1e-4,1e-3,3e-3,1e-2,3e-2,1e-1", "2,4,8,16"
FAILING = """
from dataclasses import dataclass
from pathlib import Path
from launcher.plugins.base import Plugin

@dataclass(frozen=True, kw_only=True)
class Failing(Plugin):
    def on_trainer(self, trainer):
        from transformers import TrainerCallback  # for workers and supervisors it would take long

        class Fail(TrainerCallback):
            def on_step_begin(self, args, state, control, **kwargs):
                if (Path(args.output_dir).parent / "fail").exists():
                    raise RuntimeError("this trial was told to fail")

        trainer.add_callback(Fail())
        return trainer
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "failing.py").write_text(FAILING)
    return folder


@pytest.fixture(scope="module")
def disturbed(lab: Lab, cache: Path, folder: Path) -> Callable[..., tuple[Sweep, str]]:
    """A sweep whose fourth trial is made to fail, and whose node is crashed under another; and that node."""

    def disturbed(name: str, *overrides: str) -> tuple[Sweep, str]:
        typed = command("-m", *COMMON, f"cache_dir={cache}", f"name={name}", *overrides, "--json")
        told = json.loads(lab.run(*typed, cwd=folder).stdout)
        path = Path(told["sweep_dir"])
        wait(path, lambda sweep: begun(sweep, 3))
        (path / "3" / "fail").touch()
        wait(path, lambda sweep: len(ended(sweep)) >= 5 and trains(sweep))
        victim = next(one for one in read_sweep(path).trials if trains_one(one))
        job_id = json.loads((path / str(victim.number) / "job.json").read_text())["job_id"]
        node = lab.run("squeue", "-h", "-j", job_id, "-o", "%N", cwd=folder).stdout.strip()
        lab("crash", node)
        print(f"{name}: {node} crashed under trial {victim.number} at {victim.intermediate}", flush=True)
        time.sleep(20)
        lab("boot", node)
        wait(path, lambda sweep: len(ended(sweep)) == TRIALS)
        return read_sweep(path), str(victim.number)

    return disturbed


@pytest.fixture(scope="module")
def grid(disturbed: Callable[..., tuple[Sweep, str]]) -> tuple[Sweep, str]:
    return disturbed("grid", f"trainer.learning_rate={RATES}", f"plugins.lora.r={RANKS}")


def wait(path: Path, true: Callable[[Sweep], bool], timeout_s: float = 2400) -> None:
    deadline = time.monotonic() + timeout_s
    while not true(read_sweep(path)):
        logs = "\n".join(one.read_text(errors="replace")[-2000:] for one in path.glob("logs/*.log"))
        assert time.monotonic() < deadline, f"{read_sweep(path)}\n{logs}"
        time.sleep(1)


def begun(sweep: Sweep, number: int) -> bool:
    return any(trial.number == number and trains_one(trial) for trial in sweep.trials)


def trains_one(trial: Trial) -> bool:
    return (
        trial.state == "running" and trial.run_dir is not None and (trial.run_dir / "metrics.jsonl").exists()
    )


def trains(sweep: Sweep) -> bool:
    return any(trains_one(trial) for trial in sweep.trials)


def ended(sweep: Sweep) -> list[Trial]:
    return [trial for trial in sweep.trials if trial.ended]


def steps(trial: Trial) -> int:
    """Training steps that the trial has taken, those that it took again included."""
    assert trial.run_dir is not None
    lines = [json.loads(line) for line in (trial.run_dir / "metrics.jsonl").read_text().splitlines()]
    return sum("loss" in line for line in lines)


def check_nothing_ran_twice(sweep: Sweep, crashed: str) -> None:
    claims = read_claims(SweepDir(sweep.path))
    assert sorted(claims) == list(range(TRIALS))
    assert {claim["generation"] for claim in claims.values()} == {0}
    tasks = [claim["worker"]["task"] for claim in claims.values()]
    for trial in sweep.trials:
        assert trial.run_dir is not None
        lines = (trial.run_dir / "events.jsonl").read_text().splitlines()
        jobs = {event["job_id"] for event in map(json.loads, lines) if event["event"] == "submitted"}
        assert len(jobs) == 1, trial
        if str(trial.number) not in (crashed, "3") and trial.state == "finished" and not _requeued(lines):
            assert steps(trial) == STEPS, trial
    assert sweep.sampler != "grid" or len(set(tasks)) == TRIALS


def _requeued(lines: list[str]) -> bool:
    return sum('"event": "started"' in line and '"job_id"' in line for line in lines) > 1


def test_a_grid_survives_a_crashing_node_and_a_failing_trial(grid):
    sweep, crashed = grid
    failed = [trial for trial in sweep.trials if trial.state != "finished"]
    assert [trial.number for trial in failed] == [3]
    assert "this trial was told to fail" in (failed[0].error or "")
    check_nothing_ran_twice(sweep, crashed)
    total = sum(steps(trial) for trial in sweep.trials)
    print(f"grid: best {sweep.best and sweep.best.value}, {total} training steps")


def test_tpe_with_asha_comes_as_far_on_half_of_the_steps(grid, disturbed):
    sweep, crashed = disturbed(
        "search", "trainer.learning_rate=tag(log, interval(1e-4,1e-1))", f"plugins.lora.r={RANKS}", "sweep.sampler=tpe",
        "sweep.pruner=asha", f"sweep.trials={TRIALS}",
    )  # fmt: skip
    assert [trial.number for trial in sweep.trials if trial.state == "failed"] == [3]
    assert {trial.state for trial in sweep.trials} <= {"finished", "pruned", "failed"}
    check_nothing_ran_twice(sweep, crashed)
    best, reference = sweep.best, grid[0].best
    assert best is not None and reference is not None
    ours, theirs = sum(map(steps, sweep.trials)), sum(map(steps, grid[0].trials))
    print(f"search: best {best.value} on {ours} steps; grid: best {reference.value} on {theirs} steps")
    assert best.value <= 1.05 * reference.value
    assert ours <= theirs / 2
    assert held_by_study(sweep) == {
        "complete": sweep.count("finished"),
        "pruned": sweep.count("pruned"),
        "fail": 1,
    }


def held_by_study(sweep: Sweep) -> dict[str, Any]:
    """The study's trials by their state."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = optuna.load_study(
        study_name="sweep", storage=JournalStorage(JournalFileBackend(str(SweepDir(sweep.path).study)))
    )
    states = [trial.state.name.lower() for trial in study.trials]
    return {state: states.count(state) for state in dict.fromkeys(states)}
