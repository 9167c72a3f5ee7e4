"""Who queues the insurance of a job without its batch host, when it ends, and whether it trains when it starts."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.clusters.registry import make_cluster
from launcher.clusters.submission import submitted
from launcher.run import RunDir
from launcher.run.events.launching import Cancelled
from launcher.run.events.supervisor import Finished, Insured, Led, Pruned, Requeued, Started, Stopped
from launcher.run.insurance import Insurance, InsuranceState, read_insurance, write_insurance
from launcher.supervise.insurance import Insurer, end_unneeded, set_aside_odd, why_unneeded
from launcher.supervise.steady import SteadyRun
from tests.support.fake_slurm import end, scripts_of, state_of, write_programs


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run that trains as job 1, on a queue in which nothing runs."""
    monkeypatch.setenv("PATH", f"{write_programs(tmp_path)}:/usr/bin:/bin")
    run = RunDir(tmp_path / "runs" / "name" / "date")
    run.path.mkdir(parents=True)
    run.plan.write_text('{"cluster": "slurm"}')
    run.job_script.write_text("#!/bin/bash\n")
    with submitted(make_cluster("slurm"), run):
        pass
    run.note(Started(attempt=1, job_id="1", host="n1"))
    end(tmp_path, "1", "RUNNING")
    return run


def insurer(run: RunDir, may_write: Callable[[], bool] = lambda: True) -> Insurer:
    return Insurer(run, make_cluster("slurm"), "1", may_write, calm_s=0.0)


def insure(run: RunDir) -> None:
    """Job 2 is the insurance of job 1."""
    one = insurer(run)
    one.start(saves=True)
    until(lambda: bool(run.read_events(Insured)))
    one.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state(run: RunDir) -> InsuranceState:
    found = read_insurance(run)
    assert found
    return found.state


def why(run: RunDir, me: str = "2") -> str | None:
    return why_unneeded(run, make_cluster("slurm"), me)


def test_each_leader_looks_and_the_job_gets_one_insurance_with_one_event(run, tmp_path, capsys):
    insure(run)
    (event,) = run.read_events(Insured)
    assert (event.job_id, event.after, event.attempt) == ("2", "1", 1)
    assert (
        "job 2 waits as insurance: it continues the run if job 1 ends before it is over"
        in capsys.readouterr().err
    )
    later = insurer(run)
    later.start(saves=True)
    until(lambda: not later.lives)
    assert len(scripts_of(tmp_path)) == 2 and len(run.read_events(Insured)) == 1


@pytest.mark.parametrize(
    "last", [Led(attempt=1, host="n2", before="n1", term=2), Requeued(attempt=1), Finished(attempt=1)]
)
def test_none_is_queued_before_the_ranks_are_started_again_or_after_the_job_is_over(run, tmp_path, last):
    run.note(last)
    one = Insurer(run, make_cluster("slurm"), "1", lambda: True, calm_s=0.05)
    one.start(saves=True)
    time.sleep(1)
    assert one.lives and len(scripts_of(tmp_path)) == 1
    if isinstance(last, Led):
        run.note(Started(attempt=2, job_id="1", host="n2"))
        until(lambda: len(scripts_of(tmp_path)) == 2)
    one.close()
    assert not one.lives


def test_a_supervisor_that_has_lost_the_lease_queues_nothing(run, tmp_path):
    fenced = insurer(run, may_write=lambda: False)
    fenced.start(saves=True)
    until(lambda: not fenced.lives)
    assert len(scripts_of(tmp_path)) == 1


def test_a_run_without_checkpoints_gets_none_and_the_log_says_so(run, tmp_path, capsys):
    insurer(run).start(saves=False)
    assert (
        "job 1 has no insurance (cluster.insurance): the run saves no checkpoints" in capsys.readouterr().err
    )
    assert len(scripts_of(tmp_path)) == 1


def test_a_limit_of_queued_jobs_means_no_insurance_for_now_and_is_said_once(run, tmp_path, capsys):
    (tmp_path / "queue" / "refuse").write_text("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    one = insurer(run)
    one.start(saves=True)
    said = ""
    deadline = time.monotonic() + 60
    while "the run goes on without" not in said:
        assert time.monotonic() < deadline
        said += capsys.readouterr().err
        time.sleep(0.05)
    one.close()
    assert said.count("job 1 has no insurance") == 1 and "QOSMaxSubmitJobPerUserLimit" in said
    assert not one.lives and len(scripts_of(tmp_path)) == 1


def test_a_refused_insurance_is_not_tried_again(run, tmp_path):
    (tmp_path / "queue" / "refuse").write_text("sbatch: error: invalid account")
    one = insurer(run)
    one.start(saves=True)
    until(lambda: not one.lives)


@pytest.mark.parametrize(
    "last",
    [
        Finished(attempt=1),
        Pruned(attempt=1),
        Stopped(attempt=1, exit_code=9, reason="no progress"),
        Cancelled(attempt=1, job_id="1"),
    ],
)
def test_when_the_run_is_over_the_insurance_is_cancelled(run, tmp_path, last):
    insure(run)
    run.note(last)
    end_unneeded(SteadyRun(run.path), make_cluster("slurm"), "1")
    assert state_of(tmp_path, "2") == "CANCELLED" and state(run) is InsuranceState.OVER


def test_the_end_is_tried_until_the_cluster_answers(run, tmp_path):
    insure(run)
    run.note(Finished(attempt=1))
    (tmp_path / "bin" / "scancel").rename(tmp_path / "bin" / "later")
    (tmp_path / "bin" / "scancel").write_text(
        f"#!/bin/sh\nmv {tmp_path}/bin/later {tmp_path}/bin/scancel\necho 'scancel: error: no answer' >&2\nexit 1\n"
    )
    (tmp_path / "bin" / "scancel").chmod(0o755)
    end_unneeded(SteadyRun(run.path), make_cluster("slurm"), "1")
    assert state_of(tmp_path, "2") == "CANCELLED"


def test_it_stays_when_the_cluster_itself_queues_the_job_again(run, tmp_path):
    insure(run)
    run.note(Requeued(attempt=1, reason="pre-empted"))
    end_unneeded(SteadyRun(run.path), make_cluster("slurm"), "1")
    assert state_of(tmp_path, "2") == "PENDING" and state(run) is InsuranceState.WAITS


def test_it_ends_when_another_job_continues_the_run(run, tmp_path):
    insure(run)
    run.note(Requeued(attempt=1, reason="n1 is lost"))
    run.note_job("slurm", "9")
    end_unneeded(SteadyRun(run.path), make_cluster("slurm"), "1")
    assert state_of(tmp_path, "2") == "CANCELLED"


def test_a_run_without_an_insurance_asks_the_cluster_nothing(run, tmp_path):
    (tmp_path / "queue" / "silent").touch()
    begun = time.monotonic()
    run.note(Finished(attempt=1))
    end_unneeded(SteadyRun(run.path), make_cluster("slurm"), "1")
    assert time.monotonic() - begun < 30 and why(run) is None


@pytest.mark.parametrize("ended", ["FAILED", "NODE_FAIL", "TIMEOUT", "COMPLETED"])
def test_an_insurance_whose_job_ended_too_early_becomes_the_job_of_the_run(run, tmp_path, ended):
    insure(run)
    end(tmp_path, "1", ended)
    assert why(run) is None
    assert state(run) is InsuranceState.TAKEN
    run.note(Finished(attempt=2))
    assert why(run) is None  # a later start of the same job is a start of the run's own job


def test_an_insurance_whose_job_a_person_has_cancelled_does_not_train(run, tmp_path):
    insure(run)
    end(tmp_path, "1", "CANCELLED")
    told = why(run)
    assert told is not None
    assert told.startswith(
        "job 2 was the insurance of job 1, and that job was cancelled: python -m launcher resume "
    )
    assert told.endswith("it ends without training")
    assert state(run) is InsuranceState.OVER
    assert why(run) is not None  # nor does it at its next start


@pytest.mark.parametrize(
    "last",
    [Finished(attempt=1), Stopped(attempt=1, exit_code=143, reason="x"), Cancelled(attempt=1, job_id="1")],
)
def test_an_insurance_of_a_run_that_is_over_does_not_train(run, tmp_path, last):
    insure(run)
    run.note(last)
    end(tmp_path, "1", "FAILED")
    assert "it ends without training" in (why(run) or "")


def test_an_insurance_of_a_run_that_goes_on_as_another_job_does_not_train(run, tmp_path):
    insure(run)
    run.note_job("slurm", "9")
    assert "the run goes on as job 9" in (why(run) or "")


def test_an_insurance_that_the_run_has_taken_trains_although_the_earlier_job_was_cancelled(run, tmp_path):
    insure(run)
    run.note(Requeued(attempt=1, reason="time limit"))
    with submitted(make_cluster("slurm"), run, after="1", me="1") as job_id:
        assert job_id == "2"
    end(tmp_path, "1", "CANCELLED")
    assert why(run) is None


def test_an_insurance_whose_id_was_never_learned_knows_itself(run, tmp_path):
    insure(run)
    found = read_insurance(run)
    assert found
    write_insurance(
        run,
        Insurance(cluster="slurm", job_id=None, after="1", script=found.script, state=InsuranceState.ASKED),
    )
    run.insurance_intent.write_text('{"before": ["1"]}\n')
    run.note(Finished(attempt=1))
    assert why(run, "1") is None  # the run's own job
    assert "it ends without training" in (why(run) or "")
    assert not run.insurance_intent.exists()


def test_other_jobs_of_the_run_are_not_its_insurance(run):
    insure(run)
    run.note(Finished(attempt=1))
    assert why(run, "1") is None and why(run, "77") is None
    assert state(run) is InsuranceState.WAITS


@pytest.mark.parametrize("content", ["", "null", '{"job_id": "--me"}'])
def test_an_odd_file_stops_no_job_and_is_set_aside_before_a_requeue(run, content: str, capsys):
    run.insurance.write_text(content)
    begun = time.monotonic()
    assert why(run) is None
    assert "this job goes on as any other" in capsys.readouterr().err
    set_aside_odd(run)
    assert "it is renamed to .odd.insurance.json" in capsys.readouterr().err
    assert not run.insurance.exists() and (run.path / ".odd.insurance.json").read_text() == content
    with submitted(make_cluster("slurm"), run, me="1") as job_id:
        assert job_id == "2"
    assert json.loads(run.job.read_text())["job_id"] == "2"
    assert time.monotonic() - begun < 60
