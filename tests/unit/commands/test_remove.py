"""Dry runs beside real ones, and the removal of runs."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.launching.earlier_runs import measured
from launcher.run import RunDir, find_run
from launcher.run.events.checkpoints import Stepping
from launcher.sweep.folder import SweepDir, find_sweep
from tests.unit.commands.test_status import NO_PROCESS, make_run

OLD, NEW = "tiny/2026-01-01_00-00-00", "tiny/2026-02-02_00-00-00"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands) -> Callable[..., RunDir]:
    """Writes a complete run dir with these events."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(commands()))

    def write(name: str, *events: str) -> RunDir:
        job = {"cluster": "local", "job_id": NO_PROCESS} if "submitted" in events else {}
        run = make_run(tmp_path, *events, name=name, **job)
        for file in (run.config, run.job_script):
            file.write_text("")
        return run

    return write


@pytest.fixture
def said(capfd) -> Callable[..., tuple[int, str]]:
    """The exit code of a command, and what it printed."""

    def said(*words: str) -> tuple[int, str]:
        code = main(list(words))
        return code, "".join(capfd.readouterr())

    return said


def test_a_dry_run_does_not_shadow_the_run_that_was_submitted(runs, said):
    real = runs(OLD, "planned", "submitted", "started", "stopped")
    real.note(Stepping(attempt=1, step=3, restart_s=7.0))
    planned = runs(NEW, "planned")
    for reference in (None, "tiny"):
        assert find_run(Path("runs").absolute(), reference).path == real.path
    assert find_run(Path("runs").absolute(), NEW).path == planned.path
    assert measured(Path("runs").absolute(), "tiny")["restart_s"] == 7.0
    assert json.loads(said("status", "--json")[1])["run"] == OLD


def test_where_there_are_only_dry_runs_the_newest_is_taken(runs):
    runs(OLD, "planned")
    newest = runs(NEW, "planned")
    assert find_run(Path("runs").absolute(), "tiny").path == newest.path


def test_a_dry_run_of_a_sweep_does_not_shadow_a_sweep(tmp_path):
    for name, dry in (("sweep_1", False), ("sweep_2", True)):
        folder = tmp_path / "tiny" / name
        folder.mkdir(parents=True)
        (folder / "sweep.json").write_text(json.dumps({"dry_run": dry}))
    for reference in (None, "tiny"):
        assert find_sweep(tmp_path, reference).name == "tiny/sweep_1"
    assert find_sweep(tmp_path, "tiny/sweep_2").name == "tiny/sweep_2"


@pytest.mark.parametrize(
    ("events", "why"),
    [
        (["planned"], "has no model yet: it was only planned (a dry run)"),
        (["planned", "submitted", "started", "stopped"], "has failed ("),
        (["planned", "submitted", "started", "cancelled"], "was cancelled"),
        (["planned", "submitted", "started"], "is lost: its job is gone"),
        (["planned", "submitted", "started", "finished"], "is finished, but there is no model in"),
    ],
)
@pytest.mark.parametrize("verb", [["chat", "--prompt", "a"], ["export"]])
def test_a_run_without_a_model_is_told_by_how_it_ended(runs, said, verb, events, why):
    runs(OLD, *events)
    code, told = said(verb[0], "tiny", *verb[1:])
    assert code == 1 and why in told and len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("./exported", "the folder ./exported does not exist"),
        ("/nowhere/exported", "the folder /nowhere/exported does not exist"),
        ("runs", "runs is not a run dir: it has no plan.json"),
        ("exported", "unknown run under"),
    ],
)
def test_chat_with_a_missing_folder_says_so(runs, said, folder, why):
    runs(OLD, "planned")
    code, told = said("chat", folder, "--prompt", "a")
    assert code == 1 and why in told and len(told.splitlines()) == 1


def sweep(name: str, *, dry_run: bool = False) -> SweepDir:
    """A sweep on this machine, without trials."""
    found = SweepDir(Path("runs", name).absolute())
    found.path.mkdir(parents=True, exist_ok=True)
    spec = {"cluster": "local", "dry_run": dry_run, "trials": 1, "objective": "loss", "direction": "minimize",
            "sampler": "grid", "pruner": "none", "parameters": []}  # fmt: skip
    found.spec.write_text(json.dumps(spec))
    return found


def test_a_sweep_that_is_over_is_removed_with_its_trials(runs, said):
    runs("s/sweep_1/0", "planned", "submitted", "started", "finished")
    over, kept = sweep("s/sweep_1"), sweep("s/sweep_2")
    code, told = said("remove", "s/sweep_1", str(over.path), "--yes", "--json")
    assert code == 0 and [one["run"] for one in json.loads(told)["removed"]] == ["s/sweep_1"]
    assert not over.path.exists() and kept.spec.is_file()


def test_removing_dry_runs_takes_those_of_sweeps(runs, said):
    planned, real = sweep("s/sweep_1", dry_run=True), sweep("s/sweep_2")
    runs("s/sweep_1/0", "planned")
    runs("s/sweep_2/0", "planned")
    assert said("remove", "--planned", "--yes")[0] == 0
    assert not planned.path.exists() and real.trial(0).plan.is_file()


def test_removing_deletes_the_named_runs_and_nothing_else(runs, said, tmp_path):
    first, second, kept = (
        runs(OLD, "planned"),
        runs(NEW, "planned", "submitted", "started", "stopped"),
        runs("b/3", "planned"),
    )
    outside = tmp_path / "data"
    outside.mkdir()
    (outside / "rows.jsonl").write_text("{}")
    (first.path / "linked").symlink_to(outside)
    code, told = said("remove", OLD, str(second.path), OLD, "--yes", "--json")
    assert code == 0 and [one["run"] for one in json.loads(told)["removed"]] == [OLD, NEW]
    assert not first.path.exists() and not second.path.exists()
    assert kept.plan.is_file() and (outside / "rows.jsonl").is_file()


def test_all_dry_runs_can_be_removed_at_once(runs, said):
    real, planned = runs(OLD, "planned", "submitted", "started", "finished"), runs(NEW, "planned")
    assert said("remove", "--planned", "--yes")[0] == 0
    assert real.plan.is_file() and not planned.path.exists()
    assert said("remove", "--planned", "--yes") == (0, "no dry runs under runs\n")


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["remove"], 2, "name the runs to remove"),
        (["remove", "tiny", "--planned"], 2, "but one of these"),
        (["remove", OLD], 2, "confirm with --yes"),
        (["remove", OLD, "--json"], 2, "confirm with --yes"),
        (["remove", "tiny", "--yes"], 1, "tiny names 2 runs"),
        (["remove", OLD, "c/4", "--yes"], 1, "unknown run under"),
        (["remove", "b/queued", "--yes"], 1, "end it first: python -m launcher cancel b/queued"),
        (["remove", "runs/d/linked", "--yes"], 1, "is a link to"),
        (["remove", "s/sweep_1/0", "--yes"], 1, "remove the whole sweep"),
        (["remove", "s/sweep_busy", "--yes"], 1, "the worker of trial 0 may still be running"),
        (["remove", "s/sweep_here", "--yes"], 1, "the command that runs s/sweep_here is still running"),
        (
            ["remove", "s/sweep_cut", "--yes"],
            1,
            "finish it first: python -m launcher sweep resume s/sweep_cut",
        ),
        (["remove", "s/sweep_linked", "--yes"], 1, "is a link to"),
        (["remove", "s/sweep_1", OLD], 2, "2 folders would be deleted"),
        (["remove", "e/half", "--yes"], 1, "is not a complete run dir: it has no config.yaml"),
    ],
)
def test_a_removal_that_could_lose_something_is_refused_and_deletes_nothing(runs, said, words, code, why):
    first = runs(OLD, "planned")
    runs(NEW, "planned")
    runs("b/queued", "planned").intent.write_text("")
    runs("s/sweep_1/0", "planned", "submitted", "started", "stopped")
    sweep("s/sweep_1")
    held = {"values": {}, "worker": {"task": None, "host": "elsewhere", "pid": 1, "started": 1}}
    claims = sweep("s/sweep_busy").claims
    claims.mkdir()
    (claims / "0.0.json").write_text(json.dumps(held))
    command = subprocess.Popen([sys.executable, "-c", "input()", "launcher"], stdin=subprocess.PIPE)
    while b"launcher" not in Path(f"/proc/{command.pid}/cmdline").read_bytes():
        time.sleep(0.01)
    sweep("s/sweep_here").as_run.note_job("local", str(command.pid))
    sweep("s/sweep_cut").as_run.intent.write_text("")
    Path("runs/s/sweep_linked").symlink_to(Path("runs/s/sweep_1").absolute())
    runs("e/half", "planned").config.unlink()
    Path("runs/d").mkdir()
    Path("runs/d/linked").symlink_to(first.path)
    before = sorted(Path("runs").rglob("*"))
    found, told = said(*words)
    command.communicate()
    assert found == code and why in told and "Traceback" not in told
    assert sorted(Path("runs").rglob("*")) == before
