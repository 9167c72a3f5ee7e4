"""What was launched by ssh is found from the laptop: runs, sweeps and their trials; with the commit at which it was typed."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.errors import RunError
from launcher.remote.command import statuses_there
from launcher.run import find_run, list_runs
from launcher.run.remote import RemoteRun, RunElsewhere, read_remote, write_remote
from launcher.sweep.folder import find_sweep, list_sweeps
from tests.support.paths import ROOT

SWEEP = ["-m", "+experiment=tiny", "cluster=slurm", "cluster.ssh=login", "data.check=errors"]


def remote(run: str, *, dry_run: bool = False) -> RemoteRun:
    return RemoteRun(
        ssh="login",
        python="python3",
        base="/b",
        path=("/p",),
        run=run,
        run_dir=f"/b/runs/{run}",
        dry_run=dry_run,
    )


def listed(runs: Path, capsys, *words: str):
    assert main(["list", "--json", "--runs-dir", str(runs), *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_list_names_the_cluster_of_a_run_that_is_not_here(tmp_path, capsys):
    write_remote(tmp_path / "tiny" / "1", remote("tiny/1"))
    write_remote(tmp_path / "tiny" / "2", remote("tiny/2", dry_run=True))
    assert listed(tmp_path, capsys) == [{"run": "tiny/1", "ssh": "login", "run_dir": "/b/runs/tiny/1"}]
    assert [one["run"] for one in listed(tmp_path, capsys, "--planned")] == ["tiny/2"]
    assert main(["list", "--runs-dir", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "tiny/1  on login" in told and "1 dry run: python -m launcher list --planned" in told


def test_a_damaged_record_is_reported_and_the_rest_is_listed(tmp_path, capsys):
    write_remote(tmp_path / "tiny" / "1", remote("tiny/1"))
    write_remote(tmp_path / "tiny" / "2", remote("tiny/2"))
    (tmp_path / "tiny" / "2" / "remote.json").write_text("[]")
    assert main(["list", "--runs-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "tiny/1" in printed.out and "is not the record of a run on a cluster" in printed.err


def test_a_sweep_and_its_trials_on_a_cluster_are_found_by_their_names(tmp_path):
    name = "tiny/sweep_2026-01-01_00-00-00"
    write_remote(tmp_path / name, remote(name))
    for reference in (None, "tiny", name, str(tmp_path / name)):
        with pytest.raises(RunElsewhere, match=f"{name} is on login"):
            find_sweep(tmp_path, reference)
    with pytest.raises(RunElsewhere) as away:
        find_run(tmp_path, f"{name}/3")
    assert away.value.remote.run_dir == f"/b/runs/{name}/3"
    with pytest.raises(
        RunError, match="no runs under"
    ):  # which of its trials is the newest is not known here
        find_run(tmp_path, "tiny")


def test_what_was_fetched_of_a_sweep_is_no_sweep_of_this_machine(tmp_path):
    name = "tiny/sweep_2026-01-01_00-00-00"
    write_remote(tmp_path / name, remote(name))
    (tmp_path / name / "0").mkdir()
    (tmp_path / name / "0" / "plan.json").write_text("{}")
    (tmp_path / name / "sweep.json").write_text("{}")
    assert list_runs(tmp_path) == [] and list_sweeps(tmp_path) == []


@pytest.fixture(scope="module")
def project(login):
    """A repository with data on the laptop, from which a sweep over data was launched."""
    login.program("sbatch", 'for last; do :; done; echo "$last" >> "$HOME/submitted"; echo 4711')
    login.program("squeue", "exit 0")
    folder = login.laptop / "swept"
    folder.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        shutil.copy(ROOT / "conf/data/quickstart/train.jsonl", folder / name)
    (folder / "mine.py").write_text("X = 1\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message=x")):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)
    (folder / "mine.py").write_text("X = 2\n")
    done = login.here(*SWEEP, "data.path=a.jsonl,b.jsonl", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_a_sweep_that_was_launched_by_ssh_is_recorded_here(project, laptop, monkeypatch, capfd):
    folder, report = project
    assert read_remote(folder / "runs" / report["sweep"]).run_dir == report["sweep_dir"]
    monkeypatch.chdir(folder)
    assert main(["sweep", "status", "tiny", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["path"] == report["sweep_dir"]


def test_each_file_of_a_swept_path_is_sent(login, project):
    lines = (Path(project[1]["sweep_dir"]) / "trials.jsonl").read_text().splitlines()
    paths = sorted(line.split("data.path=")[1].split(".jsonl")[0].rpartition("/") for line in lines)
    assert [name for _, _, name in paths] == ["a", "b"]
    assert all(f"{login.home}/launcher/sent/data/" in folder for folder, _, _ in paths)


def test_the_commit_of_the_laptop_is_that_of_the_code(project):
    folder, report = project
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    )
    code = json.loads((Path(report["sweep_dir"]) / "code.json").read_text())
    assert code["commit"] == head.stdout.strip() and code["changed"] == ["mine.py"]


def test_the_list_asks_a_cluster_for_the_state_of_its_runs(login, project, laptop, monkeypatch, capfd):
    monkeypatch.chdir(project[0])
    done = login.here(*SWEEP[1:], "data.path=a.jsonl", "--json", cwd=project[0])
    run = json.loads(done.stdout)["run"]
    assert main(["list", "--ask"]) == 0
    # its queue is empty, so the job is lost
    row = next(line for line in capfd.readouterr().out.splitlines() if line.startswith(run))
    assert "lost on login" in row and row.endswith("4711")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('hello')", "printed something else than statuses there"),
        ("raise SystemExit(3)", "ended there with exit code 3"),
    ],
)
def test_a_list_there_without_statuses_is_told(
    login, laptop, tmp_path: Path, capsys, program: str, said: str
):
    package = tmp_path / "code" / "launcher"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "environment.py").write_text("PYTHONPATH = 'PYTHONPATH'\n")
    (package / "__main__.py").write_text(program)
    one = RemoteRun(
        ssh="login",
        python="python3",
        base=str(tmp_path),
        path=(str(package.parent),),
        run="tiny/1",
        run_dir=str(tmp_path / "runs" / "tiny" / "1"),
    )
    assert statuses_there([one]) == {}
    assert f"cluster.ssh=login: `list` {said}" in capsys.readouterr().err


def test_the_results_of_a_sweep_are_fetched_without_the_checkpoints_of_its_trials(
    project, laptop, monkeypatch, capfd
):
    folder, report = project
    trial = Path(report["sweep_dir"]) / "0"
    (trial / "checkpoints" / "step_1").mkdir(parents=True)
    for name in ("metrics.jsonl", "checkpoints/step_1/weights"):
        (trial / name).write_text("x\n")
    monkeypatch.chdir(folder)
    assert main(["fetch", report["sweep"], "--json"]) == 0
    here = Path(json.loads(capfd.readouterr().out)["run_dir"])
    assert here == folder / "runs" / report["sweep"] and (here / "0" / "metrics.jsonl").is_file()
    assert not (here / "0" / "checkpoints").exists() and not (here / "code").exists()
