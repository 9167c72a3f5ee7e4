"""Evaluations during training, as the supervisor queues them: each checkpoint once, on a queue whose programs are stand-ins."""

import dataclasses
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.checkpoint.folders import commit, open_folder, retain
from launcher.checkpoint.manifest import FORMAT, Manifest, rank_file, state_file
from launcher.checkpoint.pieces import write_file
from launcher.checkpoint.tasks import task_retention
from launcher.config import read_config
from launcher.launching.ending import cancel
from launcher.plugins.decide import read_run
from launcher.run import RunDir
from launcher.run.evaluations import Settled, evaluation_folder, read_settled, write_settled
from launcher.run.events.launching import EvalJobFailed
from launcher.status.checkpoints import list_checkpoints, read_retention
from launcher.status.state import read_status
from launcher.supervise.eval_jobs import EvalJobs
from launcher.supervise.eval_process import free_gpus
from tests.support.fake_slurm import scripts_of, write_programs
from tests.support.paths import ROOT

STAND_INS = ROOT / "tests" / "support" / "stand_ins"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A planned run on a queue in which jobs wait."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(STAND_INS))
    monkeypatch.setenv("PATH", f"{write_programs(tmp_path)}:/usr/bin:/bin")
    (tmp_path / "colours.yaml").write_text("task: colours\n")
    words = [
        "+experiment=tiny", "cluster=slurm", "cluster.sbatch.account=abc", "dry_run=true", "data.check=off",
        f"cache_dir={tmp_path}/cache", "plugin=[lora,sharded_checkpoint]", "plugins.sharded_checkpoint.save_steps=5",
        "plugins.sharded_checkpoint.keep_last=1",
        "eval_job={every: 10, tasks: [colours.yaml], metric: colours/acc, keep_best: 1}",
    ]  # fmt: skip
    assert main(words) == 0
    (plan,) = tmp_path.glob("runs/*/*/plan.json")
    return RunDir(plan.parent)


def manifest(step: int, saved: str = "2026-11-24T00:00:00.000+00:00") -> Manifest:
    return Manifest(
        format=FORMAT, step=step, samples=4 * step, tokens=0, epoch=0.0, world_size=1, strategy="ddp", run="/runs/r/1",
        attempt=1, plan_digest="", global_batch_size=4, samples_per_epoch=160, seed=0, why="interval", eval_loss=None,
        time=saved, versions={}, parameters={}, files={},
    )  # fmt: skip


def save(run: RunDir, *steps: int, saved: str = "2026-11-24T00:00:00.000+00:00") -> None:
    for step in steps:
        folder = open_folder(run.checkpoints, step)
        files = {name: write_file(folder / name, []) for name in (rank_file(0), state_file(0))}
        commit(folder, dataclasses.replace(manifest(step, saved), files=files))


def settle(run: RunDir, step: int, score: float | None, *, lower: bool = False) -> None:
    scores = {} if score is None else {"colours/acc": score}
    evaluation_folder(run, step).path.mkdir(parents=True, exist_ok=True)
    write_settled(
        run,
        step,
        Settled(saved=manifest(step).time, scores=scores, higher_is_better={"colours/acc": not lower}),
    )


def look(run: RunDir, *, may_write: bool = True) -> None:
    """What a supervisor of the run does at one look, each time a new one, as after a requeue."""
    EvalJobs(run, read_run(run), lambda: may_write)._look()


def test_each_checkpoint_of_a_multiple_is_queued_once_whichever_supervisor_looks(run, tmp_path):
    save(run, 5, 10, 15, 20)
    look(run)
    look(run)
    folders = [Path(script).parent.name for script in scripts_of(tmp_path)]
    assert folders == ["step_00000010", "step_00000020"]
    script = (evaluation_folder(run, 10).path / "job.sbatch").read_text()
    assert "#SBATCH --account=abc" in script and "#SBATCH --no-requeue" in script
    assert f"-m launcher.after.eval_job {run.path} 10 || code=$?" in script
    settle(run, 10, 1.0)
    save(run, 30)
    look(run)
    assert len(scripts_of(tmp_path)) == 3


def test_a_checkpoint_that_a_run_saves_anew_after_a_rollback_is_evaluated_anew(run, tmp_path):
    save(run, 10)
    look(run)
    settle(run, 10, 1.0)
    save(run, 10, saved="2026-11-24T01:00:00.000+00:00")
    look(run)
    look(run)
    assert len(scripts_of(tmp_path)) == 2
    assert (run.path / "evaluations" / "earlier_step_00000010_1" / "result.json").is_file()


def test_a_refused_job_is_told_and_not_tried_again(run, tmp_path):
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: Invalid account' >&2; exit 1\n")
    save(run, 10)
    look(run)
    (failed,) = run.read_events(EvalJobFailed)
    assert failed.step == 10 and "Invalid account" in failed.reason
    look(run)
    assert len(run.read_events(EvalJobFailed)) == 1
    assert any("1 failed, the newest at step 10" in warning for warning in read_status(run).warnings)


def test_a_job_that_ends_without_a_result_is_told(run, tmp_path):
    save(run, 10)
    look(run)
    (tmp_path / "queue" / "000001.cancelled").touch()
    look(run)
    (failed,) = run.read_events(EvalJobFailed)
    assert "job 1 ended as cancelled without a result" in failed.reason
    assert len(scripts_of(tmp_path)) == 1


def test_a_checkpoint_is_kept_until_its_evaluation_is_over_and_then_if_it_is_the_best(run):
    save(run, 10, 20, 30, 40, 45)
    settle(run, 10, 0.9)
    settle(run, 20, 0.5)
    settle(run, 30, None)
    tasks = task_retention(read_config(str(run.config)), run)
    assert tasks is not None
    rows = list_checkpoints(run, read_retention(run), verify=False)
    assert {row["step"]: row["for"] for row in rows} == {
        10: ["best task"], 20: [], 30: [], 40: ["evaluation"], 45: ["last"]
    }  # fmt: skip
    assert sorted(retain(run.checkpoints, 1, 0, 0, newest=45, more=tasks.reasons)) == [20, 30]


def test_the_best_is_the_lowest_where_the_task_says_so(run):
    save(run, 10, 20)
    settle(run, 10, 0.9, lower=True)
    settle(run, 20, 0.5, lower=True)
    tasks = task_retention(read_config(str(run.config)), run)
    assert tasks is not None and tasks.reasons([manifest(10), manifest(20)]) == {20: ["best task"]}


def test_a_result_of_an_earlier_checkpoint_of_the_step_does_not_count(run):
    settle(run, 10, 0.9)
    tasks = task_retention(read_config(str(run.config)), run)
    assert tasks is not None
    again = dataclasses.replace(manifest(10), time="later")
    assert tasks.reasons([again]) == {10: ["evaluation"]}


def test_a_cancelled_run_takes_its_evaluations_with_it(run, tmp_path):
    from launcher.clusters.registry import make_cluster
    from launcher.clusters.submission import submitted

    with submitted(make_cluster("slurm"), run):
        pass
    save(run, 10, 20)
    look(run)
    settle(run, 10, 1.0)
    done = cancel(run)
    assert done.evaluations == ("3",)
    settled = read_settled(run, 20)
    assert settled is not None and settled.failed == "cancelled with its run"
    look(run)
    assert len(scripts_of(tmp_path)) == 3
    assert cancel(run).evaluations == ()


def test_the_gpus_of_an_evaluation_are_those_that_the_run_leaves_free():
    assert free_gpus({"CUDA_VISIBLE_DEVICES": "2,3,5"}, 2) == ["5"]
    assert free_gpus({"CUDA_VISIBLE_DEVICES": ""}, 0) == []


def test_scores_that_come_late_leave_the_lines_of_higher_steps_alone(run):
    from launcher.report.curves import stayed

    lines = [
        {"step": 10, "loss": 1.0}, {"step": 20, "loss": 0.9}, {"step": 20, "general": 7.0},
        {"step": 10, "tasks/colours/acc": 0.5}, {"step": 30, "loss": 0.8},
    ]  # fmt: skip
    kept = stayed(lines)
    assert [line["step"] for line in kept.training] == [10, 20, 30] and kept.repeated == 0
    assert [line["step"] for line in kept.measured] == [20, 10]


def test_a_task_file_that_is_missing_is_refused_before_the_queue(run, tmp_path, capsys):
    words = ["+experiment=tiny", "cluster=slurm", "cluster.sbatch.account=abc", "dry_run=true", "data.check=off",
              f"cache_dir={tmp_path}/cache", "plugin=[lora,sharded_checkpoint]",
              "plugins.sharded_checkpoint.save_steps=5", "eval_job={every: 10, tasks: [lost.yaml]}"]  # fmt: skip
    capsys.readouterr()
    assert main(words) == 1
    assert "eval_job.tasks: lost.yaml is not a file" in capsys.readouterr().err
