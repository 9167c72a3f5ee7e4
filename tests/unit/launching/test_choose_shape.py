"""resources=auto with fake sbatch, squeue and sinfo: what is asked, what is chosen, and what is printed."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.clusters.base import Cluster
from launcher.clusters.job import Start
from launcher.clusters.slurm.cluster import Slurm
from launcher.clusters.slurm.starts import QueuedJob, behind, on_freed
from launcher.plugins.decide import read_run
from launcher.run import RunDir
from launcher.run.events.supervisor import Reshaped
from launcher.supervise.other_shape import other_shape, put_back, take

QUEUE = """\
case "$*" in
*--test-only*)
  script=$(cat); printf '%s\\n' "$script" >>FOLDER/asked
  nodes=$(printf '%s\\n' "$script" | sed -n 's/^#SBATCH --nodes=//p')
  hours=$(sed -n "s/^$nodes //p" FOLDER/hours)
  [ "$hours" = busy ] && { echo "sbatch: error: Batch job submission failed: Socket timed out" >&2; exit 1; }
  [ "$hours" ] || { echo "allocation failure: Requested node configuration is not available" >&2; exit 1; }
  echo "sbatch: Job 7 to start at $(date -d "+$hours hours" +%FT%T) using 8 processors on nodes n[1-2] in partition main" >&2;;
*) echo "$*" >>FOLDER/submitted; echo 7;;
esac
"""
LAUNCH = (
    "+experiment=tiny", "cluster=slurm", "resources=auto", "resources.shapes=[{nodes: 1}, {nodes: 2}, {nodes: 4}, {nodes: 3}]",
    "batch={global_batch_size: 8, micro_batch_size: 1}", "cluster.price_per_gpu_hour=2", "freeze=false",
)  # fmt: skip


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A Slurm whose `sbatch --test-only` says after how many hours a job of so many nodes would start."""
    (tmp_path / "bin").mkdir()
    waiting = f"cat {tmp_path}/waiting 2>/dev/null"
    for name, text in {"sbatch": QUEUE.replace("FOLDER", str(tmp_path)), "squeue": waiting}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)

    def queue(**hours: str | int) -> None:
        (tmp_path / "hours").write_text("".join(f"{key[1:]} {value}\n" for key, value in hours.items()))

    return queue


def launch(capsys: pytest.CaptureFixture[str], *more: str, code: int = 0) -> tuple[dict, str]:
    """The JSON and the messages of a launch."""
    capsys.readouterr()
    assert main([*LAUNCH, "--json", *more]) == code
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def nodes_of(run: RunDir) -> int:
    return json.loads(run.plan.read_text())["topology"]["nodes"]


def test_the_shape_that_finishes_first_is_submitted_after_a_table_of_all(queue, capsys, tmp_path):
    queue(n1=10, n2=1, n3=1)
    told, said = launch(capsys)
    run = RunDir(Path(told["run_dir"]))
    assert (
        told["job_id"] == "7" and nodes_of(run) == 2 and "#SBATCH --nodes=2\n" in run.job_script.read_text()
    )
    assert (tmp_path / "submitted").read_text().count("\n") == 1
    rows = {row["nodes"]: row for row in told["shapes"]}
    assert [nodes for nodes, row in rows.items() if row["chosen"]] == [2]
    assert (
        rows[1]["starts_in_s"] == pytest.approx(36000, abs=60) and rows[1]["gpu_hours"] and rows[1]["money"]
    )
    assert rows[4]["refused"] == "allocation failure: Requested node configuration is not available"
    assert "batch.global_batch_size=8 is not a multiple" in rows[3]["refused"]  # and is not changed for it
    assert json.loads(run.plan.read_text())["batch"]["global_batch_size"] == 8
    (table,) = [
        part for part in said.split("launcher: ") if part.startswith("resources.auto compares 4 shapes")
    ]
    assert [line.split()[:3] for line in table.splitlines()[2:]] == [
        ["1", "x", "1"], ["2", "x", "1"], ["4", "x", "1"], ["3", "x", "1"]
    ]  # fmt: skip
    assert "2 x 1 is expected to finish first" in said and "2 x 1 is expected" in " ".join(told["notes"])
    assert "#SBATCH --job-name=tiny" in (tmp_path / "asked").read_text()


def test_a_resume_asks_the_queue_again_and_continues_on_another_shape(queue, capsys):
    queue(n1=10, n2=1)
    run = RunDir(Path(launch(capsys, "dry_run=true")[0]["run_dir"]))
    assert nodes_of(run) == 2
    queue(n1=0, n2=20)
    assert main(["resume", str(run.path), "dry_run=true"]) == 0
    assert nodes_of(run) == 1 and "1 x 1 is expected to finish first" in capsys.readouterr().err


def test_what_slurm_does_not_answer_is_reported_and_the_configured_shape_is_taken(queue, capsys, tmp_path):
    queue(n1="busy", n2="busy", n4="busy")
    told, said = launch(capsys, "resources.nodes=2", "dry_run=true")
    assert nodes_of(RunDir(Path(told["run_dir"]))) == 2
    assert "no finish time is known (sbatch --test-only named no start" in said
    assert (tmp_path / "asked").read_text().count("#!/bin/bash") == 1  # one timeout, not one for each shape


def test_a_command_after_a_cut_submission_finds_its_job_although_another_shape_is_best_now(
    queue, capsys, tmp_path
):
    queue(n1=10, n2=1)
    run = RunDir(Path(launch(capsys)[0]["run_dir"]))
    run.intent.write_text('{"before": []}\n')
    queue(n1=0, n2=20)
    told, said = launch(capsys)
    assert told["run_dir"] == str(run.path) and "whose submission was interrupted" in said
    assert (tmp_path / "submitted").read_text().count("\n") == 1


@pytest.mark.parametrize("intent", ['{"before": ["7"]}\n', ""])
def test_a_run_whose_job_was_cut_while_it_queued_itself_again_is_not_taken_for_a_cut_launch(
    queue, capsys, tmp_path, intent: str
):
    """Slurm ends a job while its supervisor submits the next one, which then runs: the file stays in the run dir."""
    queue(n1=10, n2=1)
    run = RunDir(Path(launch(capsys)[0]["run_dir"]))
    run.intent.write_text(intent)
    told, said = launch(capsys)
    assert told["run_dir"] != str(run.path) and "interrupted" not in said
    assert (tmp_path / "submitted").read_text().count("\n") == 2


@pytest.mark.parametrize("content", [b"\xff", b"a: [", b"[1]", b"resources: 3"])
def test_a_broken_run_whose_submission_was_cut_does_not_end_the_next_launch(queue, capsys, content: bytes):
    queue(n1=10, n2=1)
    run = RunDir(Path(launch(capsys)[0]["run_dir"]))
    run.intent.write_text('{"before": []}\n')
    run.config.write_bytes(content)
    told, _ = launch(capsys)
    assert told["run_dir"] != str(run.path)


def test_a_run_that_is_queued_again_takes_the_shape_that_finishes_first_by_then(queue, capsys):
    queue(n1=10, n2=1)
    run = RunDir(Path(launch(capsys, "dry_run=true")[0]["run_dir"]))
    plan = read_run(run).plan
    assert other_shape(run, plan, Slurm()) is None  # the same queue
    queue(n1=0, n2=20)
    other = other_shape(run, plan, Slurm())
    assert other is not None and str(other.choice.shape) == "1 x 1"
    take(run, other)
    assert read_run(run).plan.topology.nodes == 1  # every rank accepts the files
    assert "#SBATCH --nodes=1\n" in run.job_script.read_text() and (run.earlier / "1" / "plan.json").is_file()
    put_back(run, other, plan, "sbatch refused it")
    assert read_run(run).plan == plan
    assert [(event.before, event.after) for event in run.read_events(Reshaped)] == [
        ("2 x 1", "1 x 1"),
        ("1 x 1", "2 x 1"),
    ]


@pytest.mark.parametrize(
    "text", ["", "model: [", "plugins: {lora: {_target_: .}}", "gone: 3", "[1]", "seed: " + "9" * 5000]
)
def test_a_broken_configuration_is_one_line_and_the_run_is_queued_again_as_it_is(queue, capsys, text: str):
    queue(n1=10, n2=1)
    run = RunDir(Path(launch(capsys, "dry_run=true")[0]["run_dir"]))
    plan = read_run(run).plan
    queue(n1=0, n2=20)
    run.config.write_text(text)
    capsys.readouterr()
    assert other_shape(run, plan, Slurm()) is None
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_of_one_shape_is_queued_again_without_any_question(queue, capsys, tmp_path):
    queue(n1=0, n2=20)
    run = RunDir(
        Path(launch(capsys, "resources.auto=false", "resources.shapes=[]", "dry_run=true")[0]["run_dir"])
    )
    assert other_shape(run, read_run(run).plan, Slurm()) is None and not (tmp_path / "asked").exists()


def test_a_sweep_refuses_a_shape_that_is_chosen_for_one_run(queue, capsys):
    assert main(["-m", *LAUNCH, "seed=1,2", "dry_run=true"]) == 1
    assert "resources.auto=true chooses for one run" in capsys.readouterr().err


def test_a_job_does_not_start_before_a_smaller_one_that_waits_in_its_partition():
    start = Start(at=100.0, how="sbatch --test-only")
    job = QueuedJob(partitions=("main",), nodes=2, time_s=600, starts=500.0)
    longer = QueuedJob(partitions=("main",), nodes=2, time_s=7200, starts=900.0)
    options = {"nodes": "2", "time": "00:30:00"}
    assert behind(start, options, "main", [job, longer]).at == 500.0
    assert behind(start, options, "other", [job]).at == 100.0
    assert behind(start, {**options, "nodes": "1"}, "main", [job]).at == 100.0
    unplanned = QueuedJob(partitions=("main",), nodes=1, time_s=60, starts=None)
    assert behind(start, options, "main", [unplanned]).how.endswith(
        "1 smaller job before this one has no planned start"
    )


def test_the_nodes_that_a_run_leaves_are_free_for_it_at_once(queue, capsys):
    """--test-only counts them as taken until the time limit of its job: here 20 hours, while one other node is free."""
    queue(n1=10, n2=1)
    run = RunDir(Path(launch(capsys, "dry_run=true")[0]["run_dir"]))
    plan = read_run(run).plan
    queue(n1=0, n2=20, n4=20)
    found = other_shape(run, plan, Slurm())
    assert found is not None and str(found.choice.shape) == "1 x 1"
    assert other_shape(run, plan, Slurm(), freed=2) is None  # 2 x 1 again


@pytest.mark.parametrize(("freed", "at"), [(0, 9e9), (1, 9e9), (2, None), (3, None)])
def test_a_job_of_no_more_nodes_than_are_freed_starts_now(freed: int, at: float | None):
    start = on_freed(Start(at=9e9, how="sbatch --test-only"), {"nodes": "2"}, freed)
    assert start.at == (at or pytest.approx(time.time(), abs=5))
    assert on_freed(Start(refused="no"), {"nodes": "2"}, freed).refused == "no"


def test_a_scheduler_that_cannot_say_when_a_job_would_start_says_so():
    (start,) = Cluster.when_starts(Slurm(), [{}], "/folder")
    assert start.at is None and start.how == "Slurm does not say when a job would start"
