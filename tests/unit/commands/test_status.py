"""Where a run is by its run dir, and the verbs that read it: status, list, logs, cancel."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.clusters.base import RunState
from launcher.run import RunDir
from launcher.run.events.supervisor import Started, Stopped
from launcher.status.record import next_save
from launcher.status.state import read_status
from launcher.sweep.outcome import outcome_of
from tests.support.events import history_of

NO_PROCESS = "4194305"  # one above the highest process id that Linux gives

Process = subprocess.Popen[bytes]


@pytest.fixture(autouse=True)
def _no_cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may itself have Slurm's commands."""
    monkeypatch.setenv("PATH", f"{tmp_path_factory.mktemp('bin')}")


@pytest.fixture
def supervisor() -> Iterator[Callable[[RunDir], Process]]:
    """Starts what looks like a local run's supervisor, ends at SIGTERM, and does nothing."""
    started: list[Process] = []

    def supervisor(run: RunDir) -> Process:
        script = run.path / "job.sbatch"
        script.write_text("trap 'kill $!; exit 143' TERM\nsleep 60 & echo ready\nwait\n")
        process = subprocess.Popen(
            ["/bin/bash", str(script)], env={"PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout and process.stdout.readline() == b"ready\n"
        return process

    yield supervisor
    for process in started:
        process.terminate()
        process.wait(timeout=10)


def make_run(folder: Path, *events: str, name: str = "tiny/2026-01-01_00-00-00", **job: str) -> RunDir:
    """A run dir of these events, each of its own attempt from the first `started` on, and of that job."""
    run = RunDir(folder / "runs" / name)
    run.logs.mkdir(parents=True)
    run.plan.write_text("{}")
    attempt = 0
    for event in events:
        attempt += event == "started"
        facts = {"job_id": job.get("job_id", "7")} if event == "submitted" else {}
        run.add_event(event, attempt=attempt, reason=f"reason {attempt}", **facts)
    if job:
        run.job.write_text(json.dumps(job))
    return run


def add_metrics(run: RunDir, *lines: dict[str, Any]) -> None:
    with run.metrics.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


# States


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], RunState.PLANNED),
        (["planned"], RunState.PLANNED),
        (["planned", "submitted"], RunState.PENDING),
        (["planned", "submitted", "started"], RunState.RUNNING),
        (["planned", "started"], RunState.RUNNING),
        (["planned", "submitted", "started", "finished"], RunState.FINISHED),
        (["planned", "submitted", "started", "stopped"], RunState.FAILED),
        (["planned", "submitted", "cancelled"], RunState.CANCELLED),
        (["planned", "submitted", "started", "cancelled", "stopped"], RunState.CANCELLED),
        (["planned", "submitted", "started", "stopped", "cancelled"], RunState.CANCELLED),
        (["planned", "submitted", "started", "finished", "cancelled"], RunState.FINISHED),
        (["planned", "submitted", "started", "stopped", "started"], RunState.RUNNING),
        (["planned", "submitted", "started", "cancelled", "started"], RunState.RUNNING),
        (["planned", "submitted", "started", "stopped", "started", "finished"], RunState.FINISHED),
    ],
)
def test_the_events_alone_tell_the_state_of_a_run_without_a_job(
    tmp_path: Path, events: list[str], state: RunState
):
    status = read_status(make_run(tmp_path, *events))
    assert (status.state, status.note) == (state, None)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        (["submitted", "started"], RunState.LOST),
        (["submitted"], RunState.LOST),
        (["submitted", "started", "stopped"], RunState.FAILED),
        (["submitted", "started", "cancelled", "stopped"], RunState.CANCELLED),
        (["submitted", "started", "finished"], RunState.FINISHED),
    ],
)
def test_a_local_run_whose_process_is_gone_ended_as_it_said_or_is_lost(
    tmp_path: Path, events: list[str], state: RunState
):
    assert read_status(make_run(tmp_path, *events, cluster="local", job_id=NO_PROCESS)).state is state


def test_a_local_run_whose_process_lives_is_running(tmp_path: Path, supervisor):
    run = make_run(tmp_path, "submitted")
    run.job.write_text(json.dumps({"cluster": "local", "job_id": str(supervisor(run).pid)}))
    assert read_status(run).state is RunState.RUNNING


def test_another_process_with_the_job_s_id_is_not_the_run(tmp_path: Path):
    run = make_run(tmp_path, "submitted", "started", cluster="local", job_id=str(os.getpid()))
    assert read_status(run).state is RunState.LOST


def test_a_job_that_waits_is_the_run_s_though_an_earlier_one_began(tmp_path: Path):
    run = make_run(tmp_path, cluster="slurm", job_id="200")
    for event, attempt, job in (
        ("submitted", 0, "100"),
        ("started", 1, "100"),
        ("stopped", 1, "100"),
        ("submitted", 1, "200"),
    ):
        run.add_event(event, attempt=attempt, job_id=job, reason="")
    status = read_status(run, {"100": RunState.FAILED, "200": RunState.PENDING})
    assert (status.state, status.job_id) == (RunState.PENDING, "200")
    run.add_event("started", attempt=2, job_id="300")  # sbatch job.sbatch, typed by hand
    assert read_status(run, {"200": RunState.CANCELLED, "300": RunState.RUNNING}).job_id == "300"


def test_a_local_run_of_another_host_is_not_lost(tmp_path: Path):
    run = make_run(tmp_path, "submitted", cluster="local", job_id=NO_PROCESS)
    run.add_event("started", attempt=1, job_id=NO_PROCESS, host="elsewhere")
    status = read_status(run)
    assert status.state is RunState.RUNNING
    assert status.note == f"its process {NO_PROCESS} is on elsewhere; this is what the run dir says"


def test_a_local_run_of_this_host_that_is_gone_is_lost(tmp_path: Path):
    run = make_run(tmp_path, "submitted", cluster="local", job_id=NO_PROCESS)
    run.add_event("started", attempt=1, job_id=NO_PROCESS, host=socket.gethostname())
    assert read_status(run).state is RunState.LOST


def test_a_slurm_run_seen_from_a_machine_without_slurm_is_not_lost(tmp_path: Path):
    status = read_status(make_run(tmp_path, "submitted", "started", cluster="slurm", job_id="7"))
    assert status.state is RunState.RUNNING
    assert status.note and "sbatch is not on PATH" in status.note


def test_a_run_that_slurm_ended_at_its_time_limit_is_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for program, line in {"sbatch": "", "sacct": "echo TIMEOUT"}.items():
        (tmp_path / program).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    run = make_run(tmp_path, "submitted", "started", "stopped", cluster="slurm", job_id="7")
    assert read_status(run).state is RunState.TIMEOUT


# What a run has reached, and what went wrong


def test_attempts_are_the_starts(tmp_path: Path):
    assert read_status(make_run(tmp_path, "planned", "submitted")).attempts == 0
    events = ["submitted", "started", "stopped", "started", "stopped", "started"]
    assert read_status(make_run(tmp_path, *events, name="tiny/b")).attempts == 3


def test_progress_is_the_last_line_with_a_loss(tmp_path: Path):
    run = make_run(tmp_path, "started")
    add_metrics(
        run,
        {"step": 0, "eval_loss": 6.0},
        {"step": 1, "total_steps": 8, "loss": 5.0},
        {"step": 2, "total_steps": 8, "loss": 4.0},
        {"step": 2, "eval_loss": 4.5},
    )
    status = read_status(run)
    assert (status.step, status.total_steps, status.loss, status.eval_loss) == (2, 8, 4.0, 4.5)


def test_a_step_whose_loss_was_no_number_is_passed_over(tmp_path: Path):
    run = make_run(tmp_path, "started")
    add_metrics(run, {"step": 1, "total_steps": 8, "loss": 5.0}, {"step": 2, "total_steps": 8, "loss": None})
    assert read_status(run).loss == 5.0


def test_the_number_of_steps_is_known_before_the_first_of_them(tmp_path: Path):
    run = make_run(tmp_path, "started")
    run.add_event("training", attempt=1, step=0, total_steps=8)
    status = read_status(run)
    assert (status.step, status.total_steps, status.loss) == (None, 8, None)


@pytest.mark.parametrize(("total", "warned"), [(1, True), (9, True), (10, False)])
def test_a_run_of_fewer_than_ten_steps_in_all_is_warned_of_with_the_ways_out(
    tmp_path: Path, total: int, warned: bool
):
    run = make_run(tmp_path, "started")
    assert read_status(run).warnings == []
    run.add_event("training", attempt=1, step=0, total_steps=total)
    warnings = read_status(run).warnings
    assert len(warnings) == warned
    for text in (
        "few steps: ",
        f"takes {total} optimizer step",
        "smaller batch.global_batch_size",
        "packing=false",
    ):
        assert all(text in warning for warning in warnings)


def test_a_run_that_wrote_nothing_has_no_progress(tmp_path: Path):
    status = read_status(make_run(tmp_path))
    assert (status.step, status.total_steps, status.loss, status.eval_loss) == (None, None, None, None)


def test_torn_last_lines_are_left_out(tmp_path: Path):
    run = make_run(tmp_path, "submitted", "started")
    add_metrics(run, {"step": 1, "total_steps": 8, "loss": 5.0})
    with run.events.open("a") as events, run.metrics.open("a") as metrics:
        events.write('{"event": "finished", "att')
        metrics.write('{"step": 2, "total_steps": 8, "lo')
    status = read_status(run)
    assert (status.state, status.step, status.loss) == (RunState.RUNNING, 1, 5.0)


def test_the_error_is_the_first_crash_of_the_last_attempt(tmp_path: Path):
    run = make_run(tmp_path, "submitted", "started")
    run.add_event("crashed", attempt=1, rank=0, host="n1", error="of the first attempt")
    run.add_event("stopped", attempt=1, reason="exit code 1")
    run.add_event("started", attempt=2)
    run.add_event("crashed", attempt=2, rank=3, host="n2", error="the cause")
    run.add_event("crashed", attempt=2, rank=0, host="n1", error="the consequence")
    run.add_event("stopped", attempt=2, reason="exit code 1")
    assert read_status(run).error == "rank 3 on n2: the cause"


def test_the_error_of_an_attempt_without_a_crash_is_why_it_stopped(tmp_path: Path):
    events = ["submitted", "started", "stopped", "started", "stopped"]
    assert read_status(make_run(tmp_path, *events)).error == "reason 2"


def test_a_refusal_before_the_ranks_started_is_the_error(tmp_path: Path):
    run = make_run(tmp_path, "submitted", "started")
    run.add_event("crashed", attempt=1, rank=0, host="n1", error="of the first attempt")
    run.add_event("stopped", attempt=2, reason="plan.json is not what config.yaml says")
    assert read_status(run).error == "plan.json is not what config.yaml says"


@pytest.mark.parametrize("last", ["started", "finished"])
def test_an_earlier_attempt_s_error_is_not_the_run_s(tmp_path: Path, last: str):
    events = ["submitted", "started", "stopped", "started", last]
    assert read_status(make_run(tmp_path, *events)).error is None


# status and list


def test_status_shows_a_person_the_run(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted", "started", "stopped", cluster="local", job_id=NO_PROCESS)
    add_metrics(run, {"step": 3, "total_steps": 8, "loss": 1.23456})
    done = cli("status", "tiny")
    assert done.returncode == 0, done.stderr
    lines = dict(
        line.split(maxsplit=1) for line in done.stdout.splitlines() if not line.startswith("run dir")
    )
    assert lines["run"] == "tiny/2026-01-01_00-00-00"
    assert (lines["state"], lines["error"], lines["attempts"]) == ("failed", "reason 1", "1")
    assert (lines["step"], lines["loss"], lines["job"]) == ("3 of 8", "1.2346", NO_PROCESS)


def test_status_as_json_has_every_field(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted", "started", cluster="local", job_id=NO_PROCESS)
    done = cli("status", "--json")
    assert json.loads(done.stdout) == {
        "run": run.name,
        "run_dir": str(run.path),
        "state": "lost",
        "job_id": NO_PROCESS,
        "insurance": None,
        "attempts": 1,
        "step": None,
        "total_steps": None,
        "loss": None,
        "eval_loss": None,
        "perplexity": None,
        "figures": {},
        "history": [
            {
                "attempt": 1,
                "job_id": None,
                "host": None,
                "started": run.read_events()[1].time,
                "resumed_from": None,
                "how": None,
                "reason": None,
                "slow": {},
                "hosts": [],
            }
        ],
        "effective_training_time": None,
        "planned_training_time": None,
        "next_save": None,
        "error": None,
        "planned": {"step_s": None, "memory_gib": None},
        "measured": None,
        "note": "its job is gone and the run dir does not say how it ended",
        "spent": None,
        "waiting": None,
        "early_stopped": None,
        "generation": None,
        "general": None,
        "damaged": {},
        "sampled": None,
        "warnings": [],
    }


@pytest.mark.parametrize("code", [130, 143])
def test_a_run_that_was_told_to_end_is_cancelled_for_status_and_for_its_sweep(tmp_path: Path, code: int):
    run = make_run(tmp_path, "planned", "started")
    ranks = {"topology": {"nodes": 1, "gpus_per_node": 1}, "spares": 0}
    run.plan.write_text(json.dumps({**run.read_json(run.plan), **ranks}))
    run.note(Stopped(attempt=1, exit_code=code, reason="terminated"))
    outcome = outcome_of(run, "loss")
    assert outcome and read_status(run).state.value == outcome["state"] == "cancelled"
    run.note(Started(attempt=2))
    run.note(Stopped(attempt=2, exit_code=1, reason="a fault"))
    outcome = outcome_of(run, "loss")
    assert outcome and read_status(run).state.value == outcome["state"] == "failed"


def test_a_run_is_called_by_its_name_its_date_or_its_path(tmp_path: Path, cli):
    old = make_run(tmp_path, name="tiny/2026-01-01_00-00-00")
    new = make_run(tmp_path, name="tiny/2026-02-02_00-00-00")
    other = make_run(tmp_path, name="other/2026-03-03_00-00-00")
    for age, run in enumerate((other, new, old)):
        os.utime(run.plan, (1_700_000_000 - age, 1_700_000_000 - age))
    called = {
        "tiny": new,
        "tiny/2026-01-01_00-00-00": old,
        str(old.path): old,
        "runs/tiny/2026-01-01_00-00-00": old,
    }
    for reference, run in called.items():
        assert json.loads(cli("status", reference, "--json").stdout)["run"] == run.name
    assert json.loads(cli("status", "--json").stdout)["run"] == other.name


@pytest.mark.parametrize("verb", ["status", "logs", "cancel"])
def test_an_unknown_run_is_refused_with_the_nearest_and_all_names(tmp_path: Path, cli, verb: str):
    make_run(tmp_path, name="tiny/a")
    make_run(tmp_path, name="llama/b")
    done = cli(verb, "tinny")
    assert done.returncode == 1
    assert "'tinny'; did you mean tiny? Known: llama, tiny." in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_where_there_are_no_runs_the_verbs_say_how_to_name_their_folder(cli):
    done = cli("status")
    assert done.returncode == 1
    assert "no runs under" in done.stderr and "--runs-dir" in done.stderr


def test_the_list_names_each_file_with_damaged_lines_and_counts_them(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted", "started")
    with run.events.open("a") as file:
        file.write("{torn\n[]\n")
    assert "tiny/2026-01-01_00-00-00: events.jsonl: 2 lines left out as torn" in cli("list").stdout
    assert json.loads(cli("list", "--json").stdout)[0]["damaged"] == {"events.jsonl": 2}


def test_a_large_file_of_metrics_is_said_to_be_sampled(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted", "started")
    line = {"loss": 1.5, "note": "x" * 80_000}
    with run.metrics.open("w") as file:
        for step in range(250):
            moment = f"2026-01-01T00:{step // 60:02}:{step % 60:02}.000+00:00"
            file.write(json.dumps({"time": moment, "step": step + 1, **line, "v": 1}) + "\n")
    said = "the time of a step is from a sample of 249 of 250 lines"
    assert said in cli("status", str(run.path)).stdout
    assert json.loads(cli("status", str(run.path), "--json").stdout)["sampled"] == {
        "places": 249,
        "lines": 250,
    }
    assert cli("report", str(run.path)).returncode == 0
    assert said in (run.path / "report.html").read_text()


@pytest.mark.parametrize("verb", ["status", "list"])
def test_a_small_file_of_metrics_is_not(tmp_path: Path, cli, verb: str):
    run = make_run(tmp_path, "submitted", "started")
    add_metrics(run, {"step": 1, "loss": 1.5})
    assert "sample of" not in cli(verb, *([str(run.path)] if verb == "status" else [])).stdout


@pytest.mark.parametrize("verb", ["status", "list"])
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_nan_loss_is_null_in_json(tmp_path: Path, cli, verb: str, loss: float):
    run = make_run(tmp_path, "planned", "submitted", "started", "finished")
    add_metrics(
        run, {"step": 4, "total_steps": 8, "loss": 1.5, "grad_norm": loss}, {"step": 4, "eval_loss": loss}
    )
    told = json.loads(cli(verb, "--json").stdout, parse_constant=pytest.fail)
    status = told if verb == "status" else told[0]
    assert (status["loss"], status["eval_loss"], status["figures"]["grad_norm"]) == (1.5, None, None)


def test_a_list_of_no_runs_is_not_an_error(cli):
    assert json.loads(cli("list", "--json").stdout) == []
    done = cli("list")
    assert (done.returncode, done.stdout) == (0, "no runs under runs\n")


def test_the_list_has_every_submitted_run_the_newest_last(tmp_path: Path, cli):
    runs = [
        make_run(tmp_path, "submitted", "started", "finished", name="b/1"),
        make_run(tmp_path, "planned", name="a/2"),
        make_run(tmp_path, "submitted", "started", "stopped", name="a/sweep_3/r=8"),
    ]
    for age, run in enumerate(reversed(runs)):
        os.utime(run.plan, (1_700_000_000 - age, 1_700_000_000 - age))
    add_metrics(runs[0], {"step": 8, "total_steps": 8, "loss": 0.5})
    listed = json.loads(cli("list", "--json").stdout)
    assert [(one["run"], one["state"]) for one in listed] == [
        ("b/1", "finished"),
        ("a/sweep_3/r=8", "failed"),
    ]
    planned = json.loads(cli("list", "--planned", "--json").stdout)
    assert [(one["run"], one["state"]) for one in planned] == [("a/2", "planned")]
    rows = [line.split() for line in cli("list").stdout.splitlines()]
    assert rows[1:3] == [["b/1", "finished", "8/8", "0.5000"], ["a/sweep_3/r=8", "failed"]]
    assert " ".join(rows[3]) == "1 dry run: python -m launcher list --planned"


# logs


def add_log(run: RunDir, name: str, text: str) -> None:
    file = run.logs / name
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as log:
        log.write(text)


def test_logs_are_the_supervisor_s_and_the_last_attempt_s(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted", "started", "stopped", "started", "finished")
    add_log(run, "supervisor.log", "from the supervisor\n")
    for attempt in (2, 9, 10):
        for node in ("n1", "n2"):
            add_log(run, f"55_{attempt}/{node}.log", f"attempt {attempt} on {node}\n")
    assert cli("logs").stdout.splitlines() == [
        "==> logs/supervisor.log <==",
        "from the supervisor",
        "==> 55_10/n1.log <==",
        "attempt 10 on n1",
        "==> 55_10/n2.log <==",
        "attempt 10 on n2",
    ]
    files = [Path(file).relative_to(run.logs) for file in json.loads(cli("logs", "--json").stdout)["files"]]
    assert [str(file) for file in files] == ["supervisor.log", "55_10/n1.log", "55_10/n2.log"]


def test_an_array_task_s_own_folder_is_not_taken_for_an_attempt(tmp_path: Path, cli):
    run = make_run(tmp_path, name="tiny/sweep_2026-01-01_00-00-00/37")
    run.note_job("slurm", "500_37")
    run.add_event("started", attempt=1, job_id="500_37")
    add_log(run, "500_37/n1.log", "the agent\n")
    assert cli("logs").stdout.splitlines() == ["==> 500_37/n1.log <==", "the agent"]
    add_log(run, "500_37_1/n1.log", "Traceback of a rank\n")
    assert cli("logs").stdout.splitlines() == [
        "==> 500_37/n1.log <==",
        "the agent",
        "==> 500_37_1/n1.log <==",
        "Traceback of a rank",
    ]


def test_a_run_without_logs_says_so(tmp_path: Path, cli):
    make_run(tmp_path, "planned")
    done = cli("logs")
    assert (done.returncode, done.stdout) == (0, "")
    assert "has no logs yet: it is planned" in done.stderr


def test_following_the_logs_of_a_run_that_is_over_ends_at_once(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted", "started", "finished")
    add_log(run, "55_1/n1.log", "the end\n")
    began = time.monotonic()
    assert "the end" in cli("logs", "-f").stdout
    assert time.monotonic() - began < 10


def test_following_the_logs_shows_what_is_added_and_ends_with_the_run(tmp_path: Path, supervisor):
    run = make_run(tmp_path, "submitted", "started")
    process = supervisor(run)
    run.job.write_text(json.dumps({"cluster": "local", "job_id": str(process.pid)}))
    add_log(run, "55_1/n1.log", "first\n")
    command = [sys.executable, "-m", "launcher", "logs", "-f"]
    follower = subprocess.Popen(command, cwd=tmp_path, env={"PATH": ""}, stdout=subprocess.PIPE, text=True)
    try:
        assert follower.stdout
        assert [follower.stdout.readline() for _ in range(2)] == ["==> 55_1/n1.log <==\n", "first\n"]
        add_log(run, "55_1/n1.log", "second\n")
        assert follower.stdout.readline() == "second\n"
        assert follower.poll() is None
        # before the end: a follower that looks between the end and the line would be right to leave
        add_log(run, "55_1/n1.log", "last\n")
        run.add_event("finished", attempt=1)
        process.terminate()
        process.wait(timeout=10)
        rest, _ = follower.communicate(timeout=30)
        assert (rest, follower.returncode) == ("last\n", 0)
    finally:
        follower.kill()
        follower.communicate()


# cancel


def test_cancel_ends_a_local_run(tmp_path: Path, cli, supervisor):
    run = make_run(tmp_path, "submitted", "started")
    process = supervisor(run)
    run.job.write_text(json.dumps({"cluster": "local", "job_id": str(process.pid)}))
    done = cli("cancel", "tiny")
    assert done.stdout == f"{run.name}: job {process.pid} was cancelled\n"
    assert process.wait(timeout=10) == 128 + signal.SIGTERM
    assert read_status(run).state is RunState.CANCELLED


def test_cancel_leaves_another_process_with_the_job_s_id_alone(tmp_path: Path, cli):
    bystander = subprocess.Popen(["/bin/sleep", "60"])
    try:
        make_run(tmp_path, "submitted", "started", cluster="local", job_id=str(bystander.pid))
        done = cli("cancel")
        assert done.returncode == 0 and "is lost: there is nothing to cancel" in done.stdout
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_cancelling_a_run_that_is_over_changes_nothing(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted", "started", "finished", cluster="local", job_id=NO_PROCESS)
    before = run.events.read_text()
    done = cli("cancel", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "run": run.name,
        "job_id": NO_PROCESS,
        "state": "finished",
        "server": False,
        "evaluations": [],
        "insurance": None,
    }
    assert run.events.read_text() == before


def test_a_run_that_was_never_submitted_cannot_be_cancelled(tmp_path: Path, cli):
    make_run(tmp_path, "planned")
    done = cli("cancel")
    assert done.returncode == 1
    assert "has no job to cancel: it was never submitted" in done.stderr


def test_a_cancel_that_slurm_refuses_is_an_error_and_no_event(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted", "started", cluster="slurm", job_id="7")
    done = cli("cancel", sbatch="exit 0")
    assert done.returncode == 1
    assert "scancel" in done.stderr
    assert [event.kind for event in run.read_events()] == ["submitted", "started"]


def test_what_ended_each_attempt_is_shown_and_which_share_was_training(tmp_path: Path, cli):
    run = make_run(tmp_path, "submitted")
    times = ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:10+00:00", "2026-01-01T00:00:20+00:00"]
    lines = [
        {"time": times[0], "event": "started", "attempt": 1, "job_id": "7", "host": "n1"},
        {
            "time": times[1],
            "event": "ended",
            "attempt": 1,
            "how": "hung",
            "reason": "rank 1 is silent",
            "hosts": ["n2"],
        },
        {"time": times[1], "event": "started", "attempt": 2, "job_id": "7", "host": "n1"},
        {"time": times[1], "event": "resumed", "attempt": 2, "step": 2},
        {"time": times[2], "event": "finished", "attempt": 2},
    ]
    run.events.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    add_metrics(
        run, *({"time": f"2026-01-01T00:00:0{step}+00:00", "step": step, "loss": 1.0} for step in range(1, 9))
    )
    status = json.loads(cli("status", "--json").stdout)
    assert status["effective_training_time"] == pytest.approx(8 / 20)
    assert [(one["how"], one["resumed_from"], one["hosts"]) for one in status["history"]] == [
        ("hung", None, ["n2"]),
        ("finished", 2, []),
    ]
    shown = cli("status").stdout
    assert "attempt 1  hung: rank 1 is silent" in shown
    assert "40.0% of the time" in shown


def test_the_next_save_is_told_while_a_run_trains():
    def line(step: int) -> dict[str, object]:
        return {"time": f"2026-01-01T00:00:{step:02d}+00:00", "step": step, "total_steps": 40, "loss": 1.0}

    metrics = [line(step) for step in range(1, 14)]
    fixed = {"save": {"save_steps": 10}}
    assert next_save(fixed, history_of([], metrics)) == {"step": 20, "in_s": 7.0}
    assert next_save({"save": {"save_steps": 100}}, history_of([], metrics)) == {
        "step": 40,
        "in_s": 27.0,
    }  # the last step saves
    assert next_save({"save": None}, history_of([], metrics)) is None
    assert next_save(fixed, history_of([])) is None
    events = [{"event": "saved", "step": 6}, {"event": "interval", "steps": 12}]
    automatic = {"save": {"save_steps": 0}}
    assert next_save(automatic, history_of([], metrics)) is None  # nothing measured yet
    assert next_save(automatic, history_of(events, metrics)) == {"step": 18, "in_s": 5.0}


def test_a_run_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path):
    make_run(tmp_path, "planned", "submitted")
    broken = make_run(tmp_path, "planned", "submitted", name="tiny/2026-01-02_00-00-00")
    broken.plan.write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "launcher", "list", "--json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert [run["run"] for run in json.loads(done.stdout)] == ["tiny/2026-01-01_00-00-00"]
    assert f"{broken.plan} is not JSON" in done.stderr and "left out of the list" in done.stderr
