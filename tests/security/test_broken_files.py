"""Run dirs and sweeps with a file that is odd, empty or broken: every verb ends with a line, and none runs anything.

A fuzz of 200 calls with a fixed seed, so that a failure comes again; --long makes 10,000.
"""

import json
import os
import random
import resource
import shutil
from pathlib import Path

import pytest

from launcher.errors import AlreadyRunning
from launcher.run import RunDir
from launcher.supervise.lease import Lease
from launcher.sweep.claims import Worker, claim, read_claim
from launcher.sweep.folder import SweepDir
from tests.security.broken import FILES, SWEEP_FILES, damage, fill, plan_run, plan_sweep, restore
from tests.security.calls import call, programs

LIMIT_S = 60


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A folder with runs/, and the untouched run and sweep beside it."""
    base = tmp_path_factory.mktemp("broken")
    run = fill(plan_run(base))
    shutil.copytree(run.path, base / "run")
    shutil.copytree(plan_sweep(base / "runs"), base / "sweep")
    (base / "where").write_text(str(run.path))
    return base


def verbs_of_run(run: str, base: Path) -> list[list[str]]:
    page = ["--out", str(base / "page.html"), "--force"]
    return [
        ["status", run],
        ["status", run, "--json"],
        ["report", run, *page],
        ["list", "--runs-dir", str(base / "runs")],
        ["logs", run],
        ["checkpoints", run],
        ["cancel", run],
        ["calibrate", run],
        ["export", run],
        ["resume", run, "dry_run=true"],
        ["reproduce", run, "dry_run=true"],
        ["sync", run],
        ["stale", run],
        ["push", run, "--to", "a/b"],
        ["evaluate", run, "--data", "nothing.jsonl"],
        ["remove", run, "--yes"],
        ["fetch", run],
    ]


def verbs_of_sweep(sweep: str, base: Path) -> list[list[str]]:
    return [
        ["sweep", "status", sweep],
        ["sweep", "status", sweep, "--json"],
        ["report", sweep, "--out", str(base / "page.html"), "--force"],
        ["sweep", "best", sweep, "--name", "abc"],
        ["sweep", "cancel", sweep],
        ["list", "--runs-dir", str(base / "runs")],
        ["sweep", "resume", sweep],
        ["sweep", "extend", sweep, "sweep.max_trials=9"],
        ["remove", sweep, "--yes"],
        ["cancel", sweep],
        ["follow", sweep],
    ]


def test_no_broken_file_ends_a_verb_in_a_traceback_or_runs_anything(
    base, tmp_path, pytestconfig, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    dice = random.Random(23)
    run, sweep = Path((base / "where").read_text()), base / "runs" / "tiny" / "sweep_2026-03-01_08-00-00"
    calls, faults = 0, list[str]()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, limits[1]))  # a file without an end ends in MemoryError
    try:
        with programs(tmp_path / "bin") as said:
            while calls < (10_000 if pytestconfig.getoption("--long") else 200):
                if dice.random() < 0.75:
                    restore(base / "run", run)
                    how = damage(run, dice.choice(FILES), dice)
                    verbs = dice.sample(verbs_of_run(str(run), base), 4)
                else:
                    restore(base / "sweep", sweep)
                    how = damage(sweep, dice.choice(SWEEP_FILES), dice)
                    verbs = dice.sample(verbs_of_sweep(str(sweep), base), 3)
                for words in verbs:
                    calls += 1
                    called = call(words, LIMIT_S)
                    if called.fault:
                        faults.append(f"{how}: {' '.join(words)}: {called.fault}")
                    if "\x1b" in called.out + called.err:
                        faults.append(f"{how}: {' '.join(words)}: an escape reaches the terminal")
            words = said.read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        restore(base / "run", run)
        restore(base / "sweep", sweep)
    assert "\n".join(faults) == ""
    assert "--me" not in words.replace("squeue --me", "")
    assert list(base.rglob("planted")) == []


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"job_id": ["--me"]}', "[" * 5000])
def test_an_odd_lease_is_an_error_with_a_way_out_and_never_a_wait(tmp_path, content: str):
    run = RunDir(tmp_path / "name" / "date")
    run.path.mkdir(parents=True)
    run.lease.write_text(content)
    lease = Lease(
        run, {"cluster": "local", "job_id": None, "restart": 0, "host": "n1", "pid": 1, "started": 1}
    )
    with pytest.raises(
        AlreadyRunning, match=r"remove .*lease\.json and type python -m launcher resume name/date"
    ):
        lease.take(lambda holder: None, wait_s=600)


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"worker": 3}', "\0\0"])
def test_an_odd_claim_is_nobodys_and_the_next_worker_takes_the_trial(tmp_path, content: str):
    sweep = SweepDir(tmp_path)
    sweep.claims.mkdir()
    (sweep.claims / "0.0.json").write_text(content)
    worker = Worker(task=None, host="n1", pid=2, started=3)
    assert claim(sweep, 0, worker)
    found = read_claim(sweep, 0)
    assert found and found["worker"]["pid"] == 2


def test_one_unreadable_run_never_hides_the_others(base, tmp_path):
    runs = tmp_path / "runs"
    for name in ("one", "[red]", "[", "three"):
        shutil.copytree(base / "run", runs / "tiny" / name)
    (runs / "tiny" / "[red]" / "job.json").write_text('{"job_id": []}')
    (runs / "tiny" / "[" / "plan.json").unlink()
    os.mkfifo(runs / "tiny" / "[" / "plan.json")
    called = call(["list", "--runs-dir", str(runs)])
    assert (called.code, called.fault) == (0, "")
    assert "tiny/one" in called.out and "tiny/three" in called.out
    found = json.loads(call(["list", "--runs-dir", str(runs), "--json"]).out)
    assert {"tiny/one", "tiny/three"} <= {one["run"] for one in found}
