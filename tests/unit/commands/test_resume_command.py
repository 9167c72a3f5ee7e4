"""python -m launcher resume: the same run, planned again on other resources, and its refusals."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from launcher.errors import RunError
from launcher.launching.changed_data import DataAt, check_data_is_same, data_states
from launcher.run import RunDir
from launcher.run.events.launching import Planned, Replanned
from launcher.run.events.supervisor import Started, Stopped
from tests.support import preloaded
from tests.support.hub import serve
from tests.support.runs import environment
from tests.unit.checkpoint.test_checkpoint_rules import save


@pytest.fixture
def ended(cli, tmp_path) -> RunDir:
    """A run of two ranks that was stopped."""
    done = cli(
        "+experiment=tiny", "cluster=local", "dry_run=true", "--json", "resources.gpus_per_node=2",
        "strategy=zero2", "batch.micro_batch_size=1", f"cache_dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = RunDir(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))
    run.add_event("started", attempt=1)
    run.add_event("stopped", attempt=1, exit_code=137, reason="killed")
    return run


def test_other_resources_are_planned_into_the_same_run_dir(cli, ended):
    done = cli("resume", ended.name, "resources.gpus_per_node=1", "strategy=ddp", "dry_run=true", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["run_dir"] == str(ended.path)
    plan = json.loads(ended.plan.read_text())
    assert plan["topology"]["world_size"] == 1
    assert plan["batch"] == {
        "global_batch_size": 4, "micro_batch_size": 1, "gradient_accumulation_steps": 4
    }  # fmt: skip
    assert not (ended.path / "deepspeed.json").exists()  # and accelerate.yaml names none
    changes = next(event.changes for event in ended.read_events(Replanned))
    assert changes["resources.gpus_per_node"] == [2, 1]
    earlier = ended.path / "earlier" / "1"
    assert json.loads((earlier / "plan.json").read_text())["topology"]["world_size"] == 2
    assert (earlier / "deepspeed.json").exists()


def test_what_was_typed_is_kept_for_the_next_resume(cli, ended):
    cli("resume", ended.name, "resources.gpus_per_node=4", "dry_run=true")
    cli("resume", ended.name, "strategy=zero3", "dry_run=true")
    plan = json.loads(ended.plan.read_text())
    assert (plan["topology"]["world_size"], plan["strategy"]["name"]) == (4, "zero3")
    assert {path.name for path in (ended.path / "earlier").iterdir()} == {"1", "2"}
    assert yaml.safe_load(ended.overrides.read_text())[-1] == "dry_run=true"


def test_files_of_a_resumed_run_are_those_of_a_new_one(cli, ended):
    files = [path for path in ended.path.iterdir() if path.is_file() and path.name != "events.jsonl"]
    before = {path.name: path.read_text() for path in files}
    done = cli("resume", ended.name, "dry_run=true")
    assert done.returncode == 0, done.stderr
    assert {name: (ended.path / name).read_text() for name in before} == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.learning_rate=1", "trainer.learning_rate=1.0 would change what"),
        ("batch.global_batch_size=8", "batch.global_batch_size=8 would change what"),
        ("plugins.lora.r=4", "plugins.lora.r=4 would change what"),
        ("seed=1", "seed=1 would change what"),
        ("resources.gpus_per_node=3", "or keep it with 2 ranks"),
        ("resources.nods=3", "did you mean resources.nodes"),
        ("strategy=zero2,zero3", "one value for each key"),
    ],
)
def test_what_cannot_change_is_refused_and_nothing_is_written(cli, ended, override, said):
    before = {path: path.read_bytes() for path in ended.path.rglob("*") if path.is_file()}
    more = ("--multirun",) if "," in override else ()
    done = cli("resume", ended.name, override, *more)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in ended.path.rglob("*") if path.is_file()} == before


@pytest.fixture
def changing(cli, tmp_path) -> Callable[..., Callable[[], subprocess.CompletedProcess[str]]]:
    """A stopped run on files of its own, and its resume."""

    def make(*, saved: bool) -> Callable[[], subprocess.CompletedProcess[str]]:
        rows = [json.dumps({"text": f"row {number} of the file"}) for number in range(60)]
        for name in ("train", "eval"):
            (tmp_path / f"{name}.jsonl").write_text("\n".join([*rows, json.dumps({"text": name})]))
        done = cli(
            "+experiment=tiny", "trainer=pretrain", "cluster=local", "dry_run=true", "--json", f"cache_dir={tmp_path}",
            "data.path=train.jsonl", "data.eval_path=eval.jsonl",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        run = RunDir(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))
        if saved:
            save(run.checkpoints, 10)
        return lambda: cli("resume", run.name, "dry_run=true")

    return make


def test_other_training_rows_are_refused_once_a_checkpoint_has_a_place_in_the_old_ones(changing, tmp_path):
    resumed = changing(saved=True)
    assert resumed().returncode == 0
    file = tmp_path / "train.jsonl"
    old = file.read_text()
    file.write_text(old + "\n" + json.dumps({"text": "one more row"}))
    refused = resumed()
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "train.jsonl has changed since the launch of" in refused.stderr
    assert "step_00000010 has a position in the old rows" in refused.stderr
    file.write_text(old)
    assert resumed().returncode == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train", "there is no checkpoint yet, so the run begins on the new rows"),
        ("eval", "evaluations now use the new rows"),
    ],
)
def test_changed_data_that_harms_nothing_is_told_once(changing, tmp_path, name: str, said: str):
    resumed = changing(saved=name == "eval")
    (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": "another file"}))
    assert said in resumed().stderr
    assert said not in resumed().stderr


def test_a_job_that_is_queued_again_looks_at_the_data_before_it_starts(changing, tmp_path):
    changing(saved=True)
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": "another file"}))
    run = RunDir(next(tmp_path.glob("runs/*/*")))
    done = subprocess.run(
        [sys.executable, "-m", "launcher.supervise", str(run.path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert "step_00000010 has a position in the old rows" in done.stderr
    (stopped,) = run.read_events(Stopped)
    assert "train.jsonl has changed since the launch of" in stopped.reason
    assert not run.read_events(Started)


def test_a_large_file_is_compared_by_parts_of_its_content(tmp_path, capfd):
    file, run = tmp_path / "large.jsonl", RunDir(tmp_path / "run")
    run.path.mkdir()
    with file.open("wb") as content:
        content.truncate(80 << 20)
    save(run.checkpoints, 10)
    facts: Any = SimpleNamespace(all_data=[str(file)], training_data=[str(file)], data_files={})
    run.note(Planned(attempt=0, data=data_states(facts)))
    check_data_is_same(run, facts)
    assert capfd.readouterr().err == ""
    os.utime(file, (1, 1))
    check_data_is_same(run, facts)
    assert "was written again since the launch" in capfd.readouterr().err
    with file.open("r+b") as content:
        content.seek(50 << 20)
        content.write(b"other rows" * 100_000)
    with pytest.raises(RunError, match="but their content differs"):
        check_data_is_same(run, facts)


@pytest.mark.parametrize(("then", "warns"), [(0, False), (7, True)])
def test_the_time_that_an_earlier_release_noted_is_compared(tmp_path, capfd, then: int, warns: bool):
    file, run = tmp_path / "large.jsonl", RunDir(tmp_path / "run")
    run.path.mkdir()
    with file.open("wb") as content:
        content.truncate(80 << 20)
    save(run.checkpoints, 10)
    facts: Any = SimpleNamespace(all_data=[str(file)], training_data=[str(file)], data_files={})
    noted = f"1 file, {80 << 20:,} bytes, changed at {then or file.stat().st_mtime_ns}"
    run.note(Planned(attempt=0, data={str(file): noted}))
    check_data_is_same(run, facts)
    assert ("was written again" in capfd.readouterr().err) is warns


def test_data_of_a_store_is_compared_by_the_rank_that_reads_it_and_not_by_the_supervisor(tmp_path):
    store = pytest.importorskip("fsspec").filesystem("memory")
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    save(run.checkpoints, 10)
    place = "memory://compared/train.jsonl"
    facts: Any = SimpleNamespace(all_data=[place], training_data=[place], data_files={})
    store.pipe("/compared/train.jsonl", b'{"text": "a row"}')
    run.note(Planned(attempt=0, data=data_states(facts)))
    store.pipe("/compared/train.jsonl", b'{"text": "other"}')
    check_data_is_same(run, facts, DataAt.FILES)
    with pytest.raises(RunError, match=r"memory://compared/train.jsonl has changed since the launch"):
        check_data_is_same(run, facts, DataAt.ADDRESSES)
    store.rm("/compared/train.jsonl")
    check_data_is_same(run, facts, DataAt.ADDRESSES)  # the read itself will say that it is gone


def test_a_finished_run_is_not_resumed(cli, ended):
    ended.add_event("finished", attempt=1)
    ended.add_event("started", attempt=2)
    ended.add_event("finished", attempt=2)
    done = cli("resume", ended.name)
    assert done.returncode == 1
    assert "is finished" in done.stderr


def test_a_run_that_still_runs_is_not_resumed(cli, ended):
    ended.add_event("started", attempt=2)
    done = cli("resume", ended.name)
    assert done.returncode == 1
    assert "is running; end it first" in done.stderr


def test_what_the_hub_refuses_is_refused_before_anything_is_queued(cli, tmp_path):
    typed = ("+experiment=tiny", "cluster=slurm", "model.init=pretrained", "model.name_or_path=me/tinny")
    run = RunDir(Path(json.loads(cli(*typed, "dry_run=true", "--json", sbatch="echo 7").stdout)["run_dir"]))
    with serve({}) as hub:
        done = cli("resume", run.name, sbatch="echo 7", HF_ENDPOINT=hub.endpoint)
    assert done.returncode == 1
    assert "model.name_or_path=me/tinny: the hub says RepoNotFound" in done.stderr
    assert not run.job.exists()


def test_a_run_that_is_not_there_is_named(cli):
    done = cli("resume", "tinny")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


PLUGIN = """
from launcher.plugins.base import Plugin

class Mine(Plugin):
    pass
"""


def test_it_may_be_typed_anywhere_and_finds_the_plugins_of_where_the_run_was_launched(cli, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    done = cli(
        "+experiment=tiny", "cluster=local", "dry_run=true", "--json", "+plugins.mine._target_=mine.Mine"
    )
    run = Path(json.loads(done.stdout.splitlines()[0])["run_dir"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = preloaded.run(("resume", str(run), "dry_run=true"), elsewhere, environment())
    assert again.returncode == 0, again.stderr
    assert json.loads((run / "plan.json").read_text())["facts"]["work_dir"] == str(tmp_path)
