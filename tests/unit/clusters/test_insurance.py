"""The job that waits behind a run's job: queued once, taken in place of a new one where it fits, else cancelled."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.clusters.base import Refused
from launcher.clusters.insurance import end_insurance, find_waiting, queue_insurance
from launcher.clusters.intent import is_first
from launcher.clusters.registry import make_cluster
from launcher.clusters.submission import complete, submitted
from launcher.errors import ClusterError, RunError
from launcher.launching.ending import cancel, removable, remove
from launcher.run import RunDir
from launcher.run.events.launching import Cancelled, Submitted
from launcher.run.events.supervisor import Started, Stopped
from launcher.run.insurance import InsuranceState, read_insurance
from launcher.status.state import read_status
from tests.support.fake_slurm import end, options_of, scripts_of, state_of, write_programs


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a planned run on two nodes."""
    base = tmp_path_factory.mktemp("planned")
    words = [
        "+experiment=tiny", "cluster=slurm", "dry_run=true", "data.check=off", f"cache_dir={base}/cache",
        "resources.nodes=2", "resources.device=cpu", "freeze=false", f"runs_dir={base}/runs",
    ]  # fmt: skip
    assert main(words) == 0
    (plan,) = base.glob("runs/*/*/plan.json")
    return plan.parent


@pytest.fixture
def run(planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run that trains as job 1, on a queue in which nothing runs."""
    monkeypatch.setenv("PATH", f"{write_programs(tmp_path)}:/usr/bin:/bin")
    run = RunDir(tmp_path / "runs" / planned.parent.name / planned.name)
    shutil.copytree(planned, run.path)
    with submitted(make_cluster("slurm"), run):
        pass
    run.note(Started(attempt=1, job_id="1", host="n1"))
    end(tmp_path, "1", "RUNNING")
    return run


def insure(run: RunDir) -> str:
    found = queue_insurance(make_cluster("slurm"), run, "1")
    assert found.job_id
    return found.job_id


def own_job(run: RunDir) -> str:
    return json.loads(run.job.read_text())["job_id"]


def state(run: RunDir) -> InsuranceState:
    found = read_insurance(run)
    assert found
    return found.state


def test_a_job_gets_one_insurance_behind_it_whoever_asks(run, tmp_path):
    assert insure(run) == insure(run) == "2"
    assert "--dependency=afterany:1" in options_of(tmp_path, "2")
    assert len(scripts_of(tmp_path)) == 2
    assert own_job(run) == "1"
    assert [event.job_id for event in run.read_events(Submitted)] == ["1"]
    assert not run.insurance_intent.exists()


def test_a_submission_that_was_cut_is_found_and_not_repeated(run, tmp_path):
    insure(run)
    values = json.loads(run.insurance.read_text())
    run.insurance.write_text(json.dumps({**values, "job_id": None, "state": "asked"}))
    run.insurance_intent.write_text('{"before": ["1"]}\n')
    assert insure(run) == "2"
    assert len(scripts_of(tmp_path)) == 2 and not run.insurance_intent.exists()


def test_a_submission_that_was_cut_before_it_reached_the_queue_leaves_none(run, tmp_path):
    run.insurance_intent.write_text('{"before": ["1"]}\n')
    assert find_waiting(make_cluster("slurm"), run) is None
    assert not run.insurance_intent.exists()


def test_an_interrupted_submission_of_the_run_does_not_take_the_insurance_for_its_job(run, tmp_path):
    insure(run)
    run.job_script.write_text(run.job_script.read_text() + "# changed\n")
    run.intent.write_text('{"before": ["1"]}\n')
    with submitted(make_cluster("slurm"), run) as job_id:
        assert job_id == "3"
    assert own_job(run) == "3"


@pytest.mark.parametrize(
    ("intent", "completed"),
    [
        ('{"before": ["1"]}', True),
        ('{"before": ["1", "2"]}', False),
        ('{"before": []}', False),
        ("", False),
        ("[", False),
    ],
)
def test_a_job_that_runs_completes_the_submission_in_which_the_job_before_it_was_ended(
    run, intent: str, completed: bool
):
    """Not that of a launch, which is told the job when it is typed again, and not that of another job."""
    run.intent.write_text(intent)
    run.note_job("slurm", "2")
    complete(make_cluster("slurm"), run, "2")
    assert run.intent.exists() is not completed
    assert own_job(run) == "2" and is_first(run) is (intent == '{"before": []}')


def test_a_job_that_runs_does_not_wait_for_a_submission_that_still_runs(run, capsys):
    run.intent.write_text('{"before": ["1"]}')
    run.note_job("slurm", "2")
    with run.intent.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        complete(make_cluster("slurm"), run, "2")
    assert run.intent.exists() and "still runs" in capsys.readouterr().err


def test_a_refused_insurance_leaves_nothing_behind(run, tmp_path):
    refused = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
    (tmp_path / "queue" / "refuse").write_text(refused)
    with pytest.raises(Refused, match="QOSMaxSubmitJobPerUserLimit") as error:
        insure(run)
    assert error.value.transient
    assert find_waiting(make_cluster("slurm"), run) is None
    (tmp_path / "queue" / "refuse").unlink()
    assert insure(run) == "2"


def test_the_next_job_of_the_run_is_the_insurance_if_it_fits(run, tmp_path):
    insure(run)
    with submitted(make_cluster("slurm"), run, after="1", me="1") as job_id:
        assert job_id == "2"
    assert len(scripts_of(tmp_path)) == 2
    assert own_job(run) == "2" and state(run) is InsuranceState.TAKEN
    assert [event.job_id for event in run.read_events(Submitted)] == ["1", "2"]
    assert queue_insurance(make_cluster("slurm"), run, "2").job_id == "3"  # job 2 can lose its batch host too


@pytest.mark.parametrize("why", ["hosts to avoid", "another script", "it is gone"])
def test_an_insurance_that_does_not_fit_is_cancelled_once_the_next_job_is_queued(run, tmp_path, why: str):
    insure(run)
    if why == "another script":
        run.job_script.write_text(run.job_script.read_text() + "# other nodes\n")
    if why == "it is gone":
        end(tmp_path, "2", "FAILED")
    avoid = ["n9"] if why == "hosts to avoid" else []
    with submitted(make_cluster("slurm"), run, after="1", me="1", avoid=avoid) as job_id:
        assert job_id == "3"
    assert own_job(run) == "3" and state(run) is InsuranceState.OVER
    assert state_of(tmp_path, "2") == "CANCELLED"


def test_the_insurance_stays_if_the_next_job_is_refused(run, tmp_path):
    insure(run)
    (tmp_path / "queue" / "refuse").write_text("sbatch: error: invalid account")
    with pytest.raises(Refused), submitted(make_cluster("slurm"), run, avoid=["n9"], me="1"):
        pass
    assert state(run) is InsuranceState.WAITS and state_of(tmp_path, "2") == "PENDING"


def test_while_the_cluster_does_not_answer_no_second_job_is_queued(run, tmp_path):
    insure(run)
    (tmp_path / "queue" / "silent").touch()
    with (
        pytest.raises(ClusterError, match="does not say whether job 2"),
        submitted(make_cluster("slurm"), run),
    ):
        pass
    assert len(scripts_of(tmp_path)) == 2


def test_what_cannot_be_cancelled_is_marked_so_that_it_ends_by_itself(run, tmp_path):
    insure(run)
    (tmp_path / "queue" / "silent").touch()
    found = read_insurance(run)
    assert found
    with pytest.raises(ClusterError, match=r"job 2, the insurance of .*, ends by itself when it starts"):
        end_insurance(make_cluster("slurm"), run, found)
    assert state(run) is InsuranceState.OVER


def test_the_status_and_the_list_show_it(run, capsys):
    insure(run)
    status = read_status(run)
    assert (status.state.value, status.job_id, status.insurance) == ("running", "1", "2")
    capsys.readouterr()
    assert main(["status", str(run.path)]) == 0
    assert "job 2 waits as insurance, in case that job 1 ends early" in capsys.readouterr().out
    assert main(["list", "--runs-dir", str(run.path.parents[1])]) == 0
    assert f"{run.name}: job 2 waits as insurance" in capsys.readouterr().out
    assert main(["list", "--runs-dir", str(run.path.parents[1]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["insurance"] == "2"


def test_a_run_whose_job_ended_too_early_waits_as_its_insurance_and_is_not_resumed_twice(
    run, tmp_path, capsys
):
    insure(run)
    end(tmp_path, "1", "NODE_FAIL")
    status = read_status(run)
    assert (status.state.value, status.job_id, status.insurance) == ("pending", "2", None)
    assert status.note == "job 1 ended before the run was over; job 2, its insurance, continues the run"
    assert main(["resume", str(run.path)]) == 1
    assert "is pending as job 2; end it first" in capsys.readouterr().err
    end(tmp_path, "2", "FAILED")
    assert read_status(run).state.value == "failed"


def test_resume_takes_the_insurance_that_a_stopped_run_has_left(run, tmp_path):
    insure(run)
    end(tmp_path, "1", "FAILED")
    run.note(Stopped(attempt=1, exit_code=9, reason="no progress"))
    with submitted(make_cluster("slurm"), run) as job_id:
        assert job_id == "2"
    assert read_status(run).state.value == "pending"


def test_cancel_takes_it_along(run, tmp_path, capsys):
    insure(run)
    capsys.readouterr()
    assert main(["cancel", str(run.path)]) == 0
    assert f"{run.name}: job 1 was cancelled, with its insurance (job 2)" in capsys.readouterr().out
    assert state_of(tmp_path, "1") == state_of(tmp_path, "2") == "CANCELLED"
    assert [event.job_id for event in run.read_events(Cancelled)] == ["1"]
    assert cancel(run).insurance is None


def test_cancel_of_a_run_that_goes_on_as_its_insurance_cancels_that(run, tmp_path):
    insure(run)
    end(tmp_path, "1", "FAILED")
    done = cancel(run)
    assert (done.job_id, done.insurance) == ("2", None)
    assert state_of(tmp_path, "2") == "CANCELLED" and read_status(run).state.value == "cancelled"


def test_cancel_of_a_run_that_is_over_ends_what_was_left(run, tmp_path, capsys):
    insure(run)
    end(tmp_path, "1", "FAILED")
    run.note(Stopped(attempt=1, exit_code=9, reason="no progress"))
    capsys.readouterr()
    assert main(["cancel", str(run.path)]) == 0
    assert f"{run.name} is failed; cancelled: its insurance (job 2)" in capsys.readouterr().out
    assert state_of(tmp_path, "2") == "CANCELLED"


def test_remove_cancels_it_before_the_folder_is_gone(run, tmp_path):
    insure(run)
    end(tmp_path, "1", "FAILED")
    run.note(Stopped(attempt=1, exit_code=9, reason="no progress"))
    (one,) = removable(run.path.parents[1], [str(run.path)], planned=False)
    remove(one)
    assert state_of(tmp_path, "2") == "CANCELLED" and not run.path.exists()


ODD = ["", "null", "[]", "{}", '{"job_id": "--me", "after": "1", "cluster": "slurm", "script": "", "state": "waits"}',
    '{"job_id": "2", "after": "$(x)", "cluster": "slurm", "script": "", "state": "waits"}',
    '{"job_id": "2", "after": "1", "cluster": "slurm", "script": "", "state": "x"}', "[" * 5000]  # fmt: skip


@pytest.mark.parametrize("content", ODD)
def test_an_odd_file_is_an_error_with_a_way_out_and_does_not_hide_the_run(run, content: str, capsys):
    run.insurance.write_text(content)
    with pytest.raises(RunError, match=r"insurance\.json.*squeue --me.*remove "):
        read_insurance(run)
    (warning,) = [one for one in read_status(run).warnings if "insurance.json" in one]
    assert "was it edited?" in warning or "not valid" in warning
    with pytest.raises(RunError), submitted(make_cluster("slurm"), run):
        pass
    capsys.readouterr()
    assert main(["cancel", str(run.path)]) == 1
    assert "insurance.json" in capsys.readouterr().err
    assert run.read_events(Cancelled)  # its own job was cancelled all the same


def test_a_pipe_in_its_place_is_an_error_and_no_wait(run):
    os.mkfifo(run.insurance)
    with pytest.raises(RunError, match="not a regular file"):
        read_insurance(run)
    os.mkfifo(run.insurance_intent)
    with pytest.raises(RunError, match="not a regular file"):
        find_waiting(make_cluster("slurm"), run)
