"""Launches that are typed on a laptop: planned, checked and submitted on the login node, and found again from here."""

import dataclasses
import json
import os
import shutil

import pytest

from launcher.__main__ import main
from launcher.errors import ConfigError, RunError
from launcher.launching.elsewhere import check_destination
from launcher.run import RunDir, find_run, list_runs
from launcher.run.remote import RemoteRun, RunElsewhere, list_remote, read_remote, write_remote
from tests.support.paths import ROOT

SECRET = f"hf_{os.urandom(12).hex()}"
LAUNCH = ["+experiment=tiny", "cluster=slurm", "cluster.ssh=login", "data.check=errors"]


@pytest.fixture(scope="module")
def slurm(login):
    """A queue that accepts everything."""
    login.program("sbatch", 'for last; do :; done; echo "$last" >> "$HOME/submitted"; echo 4711')
    login.program("squeue", "exit 0")
    login.program("scancel", 'echo "$@" >> "$HOME/cancelled"')
    return login


def submitted(login) -> list[str]:
    file = login.home / "submitted"
    return file.read_text().splitlines() if file.exists() else []


@pytest.fixture(scope="module")
def project(slurm):
    """A folder with a plugin and data on the laptop, from which a run was launched."""
    folder = slurm.laptop / "my project"
    folder.mkdir()
    (folder / "mine.py").write_text("X = 1\n")
    (slurm.laptop / "data").mkdir()
    shutil.copy(ROOT / "conf/data/quickstart/train.jsonl", slurm.laptop / "data" / "it's mine.jsonl")
    done = slurm.here(
        *LAUNCH, "data.path='~/data/it\\'s mine.jsonl'", "seed=3", "--json", cwd=folder, HF_TOKEN=SECRET
    )
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_launch_from_a_laptop_is_submitted_on_the_cluster(slurm, project):
    folder, done = project
    report = json.loads(done.stdout)
    assert report["job_id"] == "4711" and report["run_dir"].startswith(f"{slurm.home}/launcher/runs/tiny/")
    assert f"{report['run_dir']}/job.sbatch" in submitted(slurm)
    found = read_remote(folder / "runs" / report["run"])
    assert found is not None and found.run_dir == report["run_dir"]


def test_the_cluster_reads_copies_and_imports_the_code_of_the_laptop(slurm, project):
    run = RunDir(slurm.home / "launcher" / "runs" / json.loads(project[1].stdout)["run"])
    plan = run.read_json(run.plan)
    data = slurm.home.joinpath(plan["facts"]["data_path"])
    assert data.name == "it's mine.jsonl" and data.is_relative_to(slurm.home / "launcher" / "sent")
    assert data.read_text() == (slurm.laptop / "data" / "it's mine.jsonl").read_text()
    assert (slurm.home / plan["facts"]["work_dir"] / "mine.py").read_text() == "X = 1\n"
    assert run.read_json(run.code)["roots"][0]["source"].startswith(f"{slurm.home}/launcher/sent/code/")


def test_no_secret_of_the_laptop_reaches_the_cluster(slurm, project):
    written = [path for path in slurm.home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert written and not any(SECRET.encode() in path.read_bytes() for path in written)


def test_a_second_launch_sends_nothing_that_is_there(slurm, project):
    before = slurm.sent()
    done = slurm.here("plan", *LAUNCH, "data.path='~/data/it\\'s mine.jsonl'", "--json", cwd=project[0])
    assert done.returncode == 0 and "sending" not in done.stderr and slurm.sent() == before
    assert f"{slurm.home}/launcher/runs/" in done.stdout


def test_a_launch_whose_answer_was_lost_is_recorded_and_not_repeated(slurm, project):
    run, before = json.loads(project[1].stdout)["run"], submitted(slurm)
    shutil.rmtree(project[0] / "runs" / run)
    done = slurm.here(
        *LAUNCH, "data.path='~/data/it\\'s mine.jsonl'", "seed=3", "--json", cwd=project[0], HF_TOKEN=SECRET
    )
    assert done.returncode == 0
    assert f"this command had already launched {run} when the connection was lost" in done.stderr
    assert submitted(slurm) == before and (project[0] / "runs" / run / "remote.json").is_file()


def test_status_here_is_that_of_the_cluster(slurm, project, laptop, monkeypatch, capfd):
    monkeypatch.chdir(project[0])
    run = json.loads(project[1].stdout)
    assert main(["status", "tiny", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["run_dir"] == run["run_dir"]


def test_a_refusal_of_the_cluster_has_its_exit_code(laptop, slurm, project, monkeypatch, capfd):
    monkeypatch.chdir(project[0])
    assert main(["checkpoints", f"runs/{json.loads(project[1].stdout)['run']}", "--no-such-option"]) == 2
    assert main(["plan", *LAUNCH, "data.path=/on/the/cluster/only.jsonl"]) == 1
    assert "/on/the/cluster/only.jsonl is not a file" in capfd.readouterr().err


def test_a_typo_in_a_path_is_found_before_anything_is_sent(laptop, capfd):
    assert main(["plan", *LAUNCH, "data.path=tarin.jsonl"]) == 1
    assert "data.path=tarin.jsonl is not a file here" in capfd.readouterr().err


def test_what_no_run_there_needs_is_removed_from_here(slurm, project, laptop, monkeypatch, capfd):
    monkeypatch.chdir(project[0])
    sent = slurm.home / "launcher" / "sent"
    old = sent / "data" / ("0" * 40)
    old.mkdir()
    (old / "train.jsonl").write_text("{}")
    os.utime(old, (0, 0))
    before = sorted(sent.glob("*/*"))
    assert main(["remove", "--sent", "login"]) == 2
    assert "1 folder and 0 files, 2 B" in (said := capfd.readouterr().err) and "confirm with --yes" in said
    assert main(["remove", "--sent", "login", "--yes"]) == 0
    assert "removed 1 folder" in capfd.readouterr().out
    assert sorted(sent.glob("*/*")) == [path for path in before if path != old]
    assert main(["remove", "--sent", "login", "--yes"]) == 0
    assert "nothing to remove: all of" in capfd.readouterr().out
    assert main(["remove", "--sent", "logi", "--yes"]) == 2
    assert "was launched there by ssh (they are on login)" in capfd.readouterr().err


def test_the_only_run_of_a_name_is_removed_there_by_its_name(slurm, project, laptop, monkeypatch, capfd):
    monkeypatch.chdir(project[0])
    assert main([*LAUNCH, "name=gone", "dry_run=true"]) == 0
    capfd.readouterr()
    (here,) = (project[0] / "runs" / "gone").iterdir()
    there = slurm.home / "launcher" / "runs" / "gone" / here.name
    assert there.is_dir()
    (here / "plan.json").write_text("{}")  # as fetch brings it
    shutil.copytree(here, here.with_name("2026-01-01_00-00-00"))
    assert main(["remove", "gone", "--yes"]) == 1
    assert "gone names 2 runs; name each" in capfd.readouterr().err and there.is_dir()
    shutil.rmtree(here.with_name("2026-01-01_00-00-00"))
    assert main(["remove", "gone", "--yes"]) == 0
    assert not there.exists() and not (here / "remote.json").exists()


def test_a_verb_that_needs_a_terminal_says_where_the_run_is(slurm, project, laptop, monkeypatch, capfd):
    monkeypatch.chdir(project[0])
    assert main(["chat", "tiny", "--prompt", "Hi"]) == 1
    assert "is on login, and this command works only with a run on this machine" in capfd.readouterr().err


@pytest.mark.parametrize(
    "ssh", ["-oProxyCommand=x", "a b", "me@", "host;touch x", "$(x)", "ssh://-x", "me@-x", "host:22", ""]
)
def test_what_is_no_destination_is_refused(ssh):
    with pytest.raises(ConfigError, match="is not a destination of ssh"):
        check_destination(ssh)


@pytest.mark.parametrize("ssh", ["login", "me@login1.site.org", "ssh://me@host:2222", "my_host"])
def test_what_ssh_knows_is_a_destination(ssh):
    assert check_destination(ssh) == ssh


def remote(run: str) -> RemoteRun:
    return RemoteRun(
        ssh="login", python="python3", base="/b", path=("/p",), run=run, run_dir=f"/b/runs/{run}"
    )


def test_the_newest_of_a_name_can_be_here_or_on_a_cluster(tmp_path):
    here = tmp_path / "tiny" / "2026-01-02_00-00-00"
    write_remote(tmp_path / "tiny" / "2026-01-01_00-00-00", remote("tiny/2026-01-01_00-00-00"))
    with pytest.raises(RunElsewhere, match="tiny/2026-01-01_00-00-00 is on login"):
        find_run(tmp_path, "tiny")
    here.mkdir(parents=True)
    (here / "plan.json").write_text("{}")
    assert find_run(tmp_path, None).path == here
    with pytest.raises(RunElsewhere):
        find_run(tmp_path, "tiny/2026-01-01_00-00-00")
    (tmp_path / "tiny" / "2026-01-01_00-00-00" / "plan.json").write_text("{}")  # as fetch brings it
    assert [run.path for run in list_runs(tmp_path)] == [here] and len(list_remote(tmp_path)) == 1


def test_a_record_that_another_user_wrote_logs_nobody_in(tmp_path):
    write_remote(tmp_path / "run", remote("tiny/1"))
    os.chown(tmp_path / "run" / "remote.json", 65534, -1)
    with pytest.raises(RunError, match="who would choose where you log in"):
        read_remote(tmp_path / "run")


@pytest.mark.parametrize("ssh", ["-oProxyCommand=x", "a b"])
def test_a_record_with_an_option_of_ssh_is_refused(tmp_path, ssh):
    write_remote(tmp_path, dataclasses.replace(remote("tiny/1"), ssh=ssh))
    with pytest.raises(RunError, match="is not a destination of ssh"):
        read_remote(tmp_path)


@pytest.mark.parametrize("text", ["[]", '{"ssh": 1}', '{"path": 3}', '{"path": [], "more": 1}'])
def test_a_damaged_record_is_one_line(tmp_path, text):
    (tmp_path / "remote.json").write_text(text)
    with pytest.raises(RunError, match="is not the record of a run on a cluster"):
        read_remote(tmp_path)
