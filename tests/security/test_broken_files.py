"""Run dirs and sweeps with a file that is odd, empty or broken: every verb ends with a line, and none runs anything."""

import json
import os
import secrets
import shutil
from pathlib import Path

import pytest

from launcher.errors import AlreadyRunning
from launcher.run import RunDir
from launcher.supervise.lease import Lease
from launcher.sweep.claims import Worker, claim, read_claim
from launcher.sweep.folder import SweepDir
from tests.security.broken import fill, plan_run, plan_sweep
from tests.security.calls import call, programs
from tests.security.verbs import fuzz_verbs

SAMPLE, WHOLE = 200, 10_000


def check(base: Path, calls: int, seed: int) -> None:
    result = fuzz_verbs(base, calls, seed)
    print(f"{result.calls:,} calls, {result.refused:,} refused")
    assert result.faults == {}
    assert result.calls >= calls


def test_no_broken_file_ends_a_verb_in_a_traceback_or_runs_anything(tmp_path):
    check(tmp_path, SAMPLE, 23)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_thousand_calls_on_broken_files_end_in_no_traceback(tmp_path):
    check(tmp_path, WHOLE, secrets.randbelow(1 << 32))


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


def test_one_unreadable_run_never_hides_the_others(tmp_path):
    run = fill(plan_run(tmp_path)).path
    runs = tmp_path / "others"
    for name in ("one", "[red]", "[", "three"):
        shutil.copytree(run, runs / "tiny" / name)
    (runs / "tiny" / "[red]" / "job.json").write_text('{"job_id": []}')
    (runs / "tiny" / "[" / "plan.json").unlink()
    os.mkfifo(runs / "tiny" / "[" / "plan.json")
    called = call(["list", "--runs-dir", str(runs)])
    assert (called.code, called.fault) == (0, "")
    assert "tiny/one" in called.out and "tiny/three" in called.out
    found = json.loads(call(["list", "--runs-dir", str(runs), "--json"]).out)
    assert {"tiny/one", "tiny/three"} <= {one["run"] for one in found}


@pytest.mark.parametrize("line", ["{}", '{"number": {}}', '{"number": "1"}'])
@pytest.mark.parametrize("verb", ["resume", "extend"])
def test_a_line_without_a_trial_ends_a_verb_that_would_lose_the_trial(tmp_path, verb: str, line: str):
    sweep = plan_sweep(tmp_path / "runs")
    trials = sweep / "trials.jsonl"
    before = f"{line}\n{trials.read_text()}"
    trials.write_text(before)
    with programs(tmp_path / "bin") as said:
        called = call(["sweep", verb, str(sweep), *(["seed=7,8"] if verb == "extend" else [])])
        assert "sbatch" not in said.read_text()
    assert (called.code, called.fault) == (1, ""), called.err
    assert f"{trials}: line 1 names no trial; was it edited?" in called.err
    assert trials.read_text() == before


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_reported_value_that_is_no_number_leaves_the_page_of_a_sweep_readable(tmp_path, value: str):
    sweep = plan_sweep(tmp_path / "runs")
    outcome = sweep / "outcomes" / "0.json"
    found = json.loads(outcome.read_text())
    outcome.write_text(json.dumps({**found, "intermediate": {"20": 1.5, "40": float(value)}}))
    for verb in (["report", str(sweep)], ["sweep", "status", str(sweep), "--json"]):
        called = call(verb)
        assert (called.code, called.fault) == (0, ""), called.err
