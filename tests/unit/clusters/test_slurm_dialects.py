"""What Slurm's commands print, in several versions, and what is concluded from it. See tests/support/recorded/README.md."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.clusters.base import RunState
from launcher.clusters.slurm.client import is_configured
from launcher.clusters.slurm.cluster import Slurm
from launcher.clusters.slurm.queue import parse_state, parse_states
from launcher.errors import ClusterError
from launcher.run import RunDir, now
from launcher.status.state import read_status, read_statuses
from tests.support.paths import RECORDED

OLD: dict[str, Any] = yaml.safe_load((RECORDED / "slurm_22.05.yaml").read_text())
NEW: dict[str, Any] = yaml.safe_load((RECORDED / "slurm_newer.yaml").read_text())

SILENT = {"exit_code": 0, "stdout": "", "stderr": ""}
GARBAGE = {"exit_code": 0, "stdout": "<html>down for maintenance</html>\n", "stderr": ""}
HANGING = {"exit_code": 0, "stdout": "", "stderr": "", "before": "exec sleep 60"}

Answer = Mapping[str, Any]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts programs on an otherwise bare PATH that print what was recorded, and note how they were called."""

    def path(**programs: Answer) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for program, answer in {"sbatch": SILENT, **programs}.items():
            file = folder / program
            for stream in ("stdout", "stderr"):
                (folder / f"{program}.{stream}").write_text(answer[stream])
            file.write_text(
                f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "{program} $*" >>{tmp_path}/calls\n{answer.get("before", ":")}\n'
                f"cat {folder}/{program}.stdout; cat {folder}/{program}.stderr >&2; exit {answer['exit_code']}\n"
            )
            file.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return tmp_path / "calls"

    return path


def queue(**words: str) -> Answer:
    """What squeue prints of some jobs, such as j9="RUNNING"."""
    return {**SILENT, "stdout": "".join(f"{name[1:]}|{word}\n" for name, word in words.items())}


QUEUE = queue(
    j1="TIMEOUT",
    j2="COMPLETED",
    j3="FAILED",
    j4="CANCELLED",
    j7="PENDING",
    j8="PREEMPTED",
    j9="RUNNING",
    j10="PENDING",
)


# What squeue says of a job


@pytest.mark.parametrize(
    ("job_id", "state"),
    [
        ("1", RunState.TIMEOUT),
        ("2", RunState.FINISHED),
        ("3", RunState.FAILED),
        ("4", RunState.CANCELLED),
        ("7", RunState.PENDING),
        ("8", RunState.FAILED),
        ("9", RunState.RUNNING),
        ("10", RunState.PENDING),
    ],
)
def test_each_job_of_the_queue_has_its_own_state(path, job_id: str, state: RunState):
    path(squeue=QUEUE)
    assert Slurm().state(job_id) is state


def test_many_jobs_are_asked_about_at_once(path):
    calls = path(squeue=QUEUE, sacct=OLD["sacct_unknown_job"])
    assert Slurm().states(["9", "2", "999", "10"]) == {
        "9": RunState.RUNNING, "2": RunState.FINISHED, "999": RunState.LOST, "10": RunState.PENDING,
    }  # fmt: skip
    assert [call for call in calls.read_text().splitlines() if call.startswith("squeue")] == [
        "squeue --noheader --states=all --format=%A|%T --jobs 9,2,999,10"
    ]


def test_the_list_of_all_runs_asks_slurm_once(path, tmp_path: Path):
    calls = path(squeue=QUEUE, sacct=OLD["sacct_unknown_job"])
    runs = [
        submitted_run(tmp_path / number, number, ["planned", "submitted", "started"])
        for number in ("9", "2", "999")
    ]
    states = [status.state for status in read_statuses(runs)]
    assert states == [RunState.RUNNING, RunState.FINISHED, RunState.LOST]
    assert sum(call.startswith("squeue") for call in calls.read_text().splitlines()) == 1


@pytest.mark.parametrize("flags", [["CANCELLED", "REVOKED"], ["REVOKED"], ["PENDING", "REVOKED"]])
def test_a_job_that_another_cluster_of_the_federation_took_is_not_over(flags: list[str]):
    assert parse_states(flags) is None


def test_a_revoked_job_is_neither_cancelled_nor_lost(path):
    path(squeue=queue(j20="REVOKED"), sacct=SILENT)
    assert Slurm().state("20") is None


def test_a_job_id_is_not_found_by_its_beginning(path):
    path(squeue=queue(j99="RUNNING"), sacct=OLD["sacct_unknown_job"])
    assert Slurm().state("9") is RunState.LOST


@pytest.mark.parametrize("words", [[], ["NOVEL"], ["NOVEL", "FLAG"]])
def test_unknown_words_are_no_state(words: list[str]):
    assert parse_states(words) is None


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("running", RunState.RUNNING),
        ("pending", RunState.PENDING),
        ("requeued", RunState.PENDING),
        ("completing", RunState.RUNNING),
        ("completed", RunState.FINISHED),
        ("failed", RunState.FAILED),
        ("cancelled", RunState.CANCELLED),
        ("timeout", RunState.TIMEOUT),
        ("preempted", RunState.FAILED),
    ],
)
def test_each_word_of_squeue_is_its_state(path, answer: str, state: RunState):
    path(squeue=queue(j1=OLD[f"squeue_words_{answer}"]["stdout"].strip()))
    assert Slurm().state("1") is state


def test_squeue_is_asked_about_ended_jobs_too(path):
    calls = path(squeue=QUEUE)
    Slurm().state("2")
    assert all("--states=all" in call for call in calls.read_text().splitlines())


@pytest.mark.parametrize("left", [OLD["squeue_words_unknown_job"], SILENT])
def test_a_job_that_squeue_no_longer_has_is_looked_up_in_the_accounting(path, left: Answer):
    path(squeue=left, sacct=OLD["sacct_completed"])
    assert Slurm().state("2") is RunState.FINISHED


# What sacct says of a job that squeue no longer has


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("completed", RunState.FINISHED),
        ("failed", RunState.FAILED),
        ("cancelled", RunState.CANCELLED),
        ("timeout", RunState.TIMEOUT),
        ("preempted", RunState.FAILED),
        ("requeued", RunState.PENDING),
        ("requeued_waiting", RunState.PENDING),
        ("requeued_done", RunState.FINISHED),
        ("running", RunState.RUNNING),
        ("pending", RunState.PENDING),
    ],
)
@pytest.mark.parametrize("left", [OLD["squeue_words_unknown_job"], NEW["squeue_unknown_job"], SILENT])
def test_a_job_that_left_the_queue_has_the_state_of_its_last_record(
    path, left: Answer, answer: str, state: RunState
):
    path(squeue=left, sacct=OLD[f"sacct_{answer}"])
    assert Slurm().state("999") is state


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("CANCELLED by 1000", RunState.CANCELLED),
        ("COMPLETED+", RunState.FINISHED),
        ("OUT_OF_MEMORY", RunState.FAILED),
        ("NODE_FAIL", RunState.FAILED),
        ("DEADLINE", RunState.TIMEOUT),
        ("NOVEL", None),
        ("", None),
    ],
)
def test_a_line_of_sacct_is_one_state(line: str, state: RunState | None):
    assert parse_state(line) is state


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("cancelled_by", RunState.CANCELLED),
        ("cut", RunState.FINISHED),
        ("out_of_memory", RunState.FAILED),
        ("requeued_twice", RunState.RUNNING),
    ],
)
def test_the_newest_of_several_records_counts(path, answer: str, state: RunState):
    path(squeue=NEW["squeue_unknown_job"], sacct=NEW[f"sacct_{answer}"])
    assert Slurm().state("999") is state


def test_sacct_alone_is_enough(path):
    path(sacct=OLD["sacct_completed"])
    assert Slurm().state("2") is RunState.FINISHED


def test_sacct_tells_while_the_controller_is_down(path):
    path(squeue=OLD["squeue_words_controller_down"], sacct=OLD["sacct_controller_down"])
    assert Slurm().state("2") is RunState.FINISHED


# Nobody knows, and nobody answers


@pytest.mark.parametrize("left", [OLD["squeue_words_unknown_job"], NEW["squeue_unknown_job"], SILENT])
@pytest.mark.parametrize("record", [OLD["sacct_unknown_job"], OLD["sacct_disabled"]])
def test_a_job_that_squeue_and_sacct_do_not_know_is_lost(path, left: Answer, record: Answer):
    path(squeue=left, sacct=record)
    assert Slurm().state("999") is RunState.LOST


@pytest.mark.parametrize(
    "silence",
    [
        OLD["squeue_words_controller_down"],
        NEW["squeue_controller_down"],
        NEW["squeue_timed_out"],
        GARBAGE,
    ],
)
@pytest.mark.parametrize(
    "record", [None, OLD["sacct_disabled"], OLD["sacct_slurmdbd_down"], OLD["sacct_unknown_job"]]
)
def test_a_controller_that_does_not_answer_proves_nothing(path, silence: Answer, record: Answer | None):
    path(squeue=silence, **({"sacct": record} if record else {}))
    assert Slurm().state("9") is None


def test_squeue_and_sacct_that_are_not_there_prove_nothing(path):
    path()
    assert Slurm().state("9") is None


@pytest.mark.parametrize("program", ["squeue", "sacct"])
def test_a_command_that_hangs_is_given_up(path, program: str):
    path(**{"squeue": NEW["squeue_timed_out"], "sacct": SILENT, program: HANGING})
    began = time.monotonic()
    assert Slurm(timeout_s=0.3).state("9") is None
    assert time.monotonic() - began < 5


# The run dir speaks when Slurm does not


@pytest.mark.parametrize(
    ("events", "state"),
    [
        (["planned", "submitted"], RunState.PENDING),
        (["planned", "submitted", "started"], RunState.RUNNING),
        (["planned", "submitted", "started", "stopped", "started"], RunState.RUNNING),
    ],
)
def test_status_says_what_the_run_dir_says_while_slurm_is_down(
    path, tmp_path: Path, events: list[str], state: RunState
):
    path(squeue=OLD["squeue_words_controller_down"], sacct=OLD["sacct_slurmdbd_down"])
    run = submitted_run(tmp_path, "9", events)
    status = read_status(run)
    assert status.state is state
    assert status.note == "Slurm does not answer about job 9; this is what the run dir says"


def test_status_calls_a_run_lost_only_when_slurm_answered(path, tmp_path: Path):
    path(squeue=OLD["squeue_words_unknown_job"], sacct=OLD["sacct_unknown_job"])
    status = read_status(submitted_run(tmp_path, "999", ["planned", "submitted", "started"]))
    assert status.state is RunState.LOST
    assert status.note and "does not say how it ended" in status.note


def test_a_run_that_says_it_finished_needs_no_slurm(path, tmp_path: Path):
    calls = path(squeue=OLD["squeue_words_unknown_job"], sacct=SILENT)
    status = read_status(submitted_run(tmp_path, "999", ["planned", "submitted", "started", "finished"]))
    assert status.state is RunState.FINISHED
    assert not calls.exists()


def test_a_run_that_ends_while_slurm_is_asked_is_not_lost(path, tmp_path: Path):
    run = submitted_run(tmp_path, "999", ["planned", "submitted", "started"])
    ending = f"""echo '{{"event": "finished", "attempt": 1, "time": "{now()}"}}' >>{run.events}"""
    path(squeue={**OLD["squeue_words_unknown_job"], "before": ending}, sacct=SILENT)
    assert read_status(run).state is RunState.FINISHED


@pytest.mark.parametrize("answer", ["squeue_words_timeout", "squeue_words_cancelled"])
def test_slurm_knows_why_a_run_was_stopped_better_than_the_run_dir(path, tmp_path: Path, answer: str):
    path(squeue=queue(j1=OLD[answer]["stdout"].strip()))
    status = read_status(submitted_run(tmp_path, "1", ["planned", "submitted", "started", "stopped"]))
    assert status.state.name == OLD[answer]["stdout"].strip()


@pytest.mark.parametrize("record", [OLD["sacct_failed"], OLD["sacct_unknown_job"], OLD["sacct_completed"]])
def test_a_run_that_says_it_stopped_failed_whatever_slurm_still_knows(path, tmp_path: Path, record: Answer):
    path(squeue=OLD["squeue_words_unknown_job"], sacct=record)
    status = read_status(submitted_run(tmp_path, "999", ["planned", "submitted", "started", "stopped"]))
    assert status.state is RunState.FAILED


def test_a_stopped_run_whose_job_is_queued_again_is_pending(path, tmp_path: Path):
    path(squeue=QUEUE)
    status = read_status(submitted_run(tmp_path, "10", ["planned", "submitted", "started", "stopped"]))
    assert status.state is RunState.PENDING


def test_a_job_that_was_submitted_by_hand_after_the_first_is_the_one_asked_about(path, tmp_path: Path):
    path(squeue=QUEUE)
    run = submitted_run(tmp_path, "3", ["planned", "submitted", "started", "stopped"])
    run.add_event("started", attempt=2, job_id="9", host="n1")
    status = read_status(run)
    assert (status.state, status.job_id) == (RunState.RUNNING, "9")


@pytest.mark.parametrize(
    ("job_id", "events", "state"),
    [
        ("9", ["planned", "submitted", "started"], RunState.RUNNING),
        ("9", ["planned", "submitted", "started", "stopped"], RunState.FAILED),
        ("2", ["planned", "submitted", "started"], RunState.LOST),
        ("2", ["planned", "submitted", "started", "finished"], RunState.FINISHED),
        ("4", ["planned", "submitted", "started"], RunState.CANCELLED),
    ],
)
def test_an_allocation_is_not_the_run_inside_it(
    path, tmp_path: Path, job_id: str, events: list[str], state: RunState
):
    path(squeue=QUEUE, sacct=SILENT)
    assert read_status(submitted_run(tmp_path, job_id, events, kind="allocation")).state is state


# sbatch


@pytest.mark.parametrize(
    ("answer", "job_id"),
    [
        (OLD["sbatch"], "12"),
        (NEW["sbatch_banner"], "4242"),
        (NEW["sbatch_banner_after"], "4242"),
        (NEW["sbatch_federated"], "67108865;alpha"),
        (OLD["sbatch_to_a_named_cluster"], "13;lab"),
    ],
)
def test_the_job_id_is_found_in_what_sbatch_prints(path, tmp_path: Path, answer: Answer, job_id: str):
    path(sbatch=answer)
    assert Slurm().submit(tmp_path / "job.sbatch") == job_id


@pytest.mark.parametrize(
    ("said", "job_id"),
    [("Submitted batch job 77", "77"), ("Hello\nSubmitted batch job 77 on cluster beta", "77;beta")],
)
def test_a_wrapper_that_leaves_out_parsable_is_understood(path, tmp_path: Path, said: str, job_id: str):
    path(sbatch={**NEW["sbatch_silent"], "stdout": f"{said}\n"})
    assert Slurm().submit(tmp_path / "job.sbatch") == job_id


@pytest.mark.parametrize("answer", [NEW["sbatch_silent"], GARBAGE])
def test_an_sbatch_without_a_job_id_is_refused(path, tmp_path: Path, answer: Answer):
    path(sbatch=answer)
    with pytest.raises(ClusterError, match=r"printed no job id.*; type the command again: it finds the job"):
        Slurm().submit(tmp_path / "job.sbatch")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            OLD["sbatch_refused"],
            "invalid partition specified: nope; sbatch: error: Batch job submission failed",
        ),
        (OLD["sbatch_controller_down"], "Unable to contact slurm controller"),
        ({**SILENT, "exit_code": 7}, "exit code 7"),
    ],
)
def test_a_refusal_of_sbatch_is_reported_in_its_own_words_on_one_line(
    path, tmp_path: Path, answer: Answer, why: str
):
    path(sbatch=answer)
    with pytest.raises(ClusterError, match=why) as refusal:
        Slurm().submit(tmp_path / "job.sbatch")
    assert "\n" not in str(refusal.value)


def test_an_sbatch_that_hangs_is_not_said_to_have_refused(path, tmp_path: Path):
    path(sbatch=HANGING)
    with pytest.raises(ClusterError, match=r"did not answer .* but may have queued") as silence:
        Slurm(timeout_s=0.3).submit(tmp_path / "job.sbatch")
    assert "refused" not in str(silence.value)


def test_a_cluster_without_sbatch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="sbatch is not on PATH"):
        Slurm().reach()


def test_a_job_on_a_named_cluster_is_asked_about_there(path):
    calls = path(squeue=queue(j9=OLD["squeue_words_of_a_named_cluster"]["stdout"].strip()))
    assert Slurm().state("9;lab") is RunState.RUNNING
    assert all("--jobs 9 --clusters lab" in call for call in calls.read_text().splitlines())


def test_the_accounting_of_a_named_cluster_is_asked(path):
    calls = path(squeue=NEW["squeue_unknown_job"], sacct=OLD["sacct_of_a_named_cluster"])
    assert Slurm().state("9;lab") is RunState.RUNNING
    assert calls.read_text().splitlines()[-1].endswith("--jobs 9 --clusters lab")


# scancel


@pytest.mark.parametrize(
    "answer",
    [
        OLD["scancel_running"],
        OLD["scancel_ended"],
        OLD["scancel_unknown_job"],
        NEW["scancel_unknown_job"],
        NEW["scancel_ended"],
    ],
)
def test_cancelling_a_job_that_runs_or_has_ended_is_not_an_error(path, answer: Answer):
    calls = path(scancel=answer)
    Slurm().cancel("5")
    assert calls.read_text() == "scancel 5\n"


def test_a_job_on_a_named_cluster_is_cancelled_there(path):
    calls = path(scancel=SILENT)
    Slurm().cancel("5;lab")
    assert calls.read_text() == "scancel --clusters lab 5\n"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OLD["scancel_of_another_user"], "Access/permission denied"),
        (OLD["scancel_controller_down"], "Unable to contact slurm controller"),
    ],
)
def test_a_refusal_of_scancel_is_reported_in_its_own_words(path, answer: Answer, why: str):
    path(scancel=answer)
    with pytest.raises(ClusterError, match=f"scancel refused job 5: .*{why}"):
        Slurm().cancel("5")


def test_a_scancel_that_hangs_is_given_up(path):
    path(scancel=HANGING)
    with pytest.raises(ClusterError, match=r"scancel 5: .* did not answer within 0\.3 s"):
        Slurm(timeout_s=0.3).cancel("5")


# scontrol


def test_the_first_host_of_a_node_list_comes_from_scontrol(path):
    calls = path(scontrol=OLD["scontrol_hostnames"])
    assert Slurm().first_host({"SLURM_JOB_NODELIST": "n[01-03],m2"}) == "n01"
    assert calls.read_text() == "scontrol show hostnames n[01-03],m2\n"


@pytest.mark.parametrize("answer", [None, SILENT, {**SILENT, "exit_code": 1}])
def test_a_node_list_that_scontrol_cannot_expand_is_refused(path, answer: Answer | None):
    path(**({"scontrol": answer} if answer else {}))
    with pytest.raises(ClusterError, match=r"could not expand SLURM_JOB_NODELIST='n\[01"):
        Slurm().first_host({"SLURM_JOB_NODELIST": "n[01"})


def test_a_machine_without_sbatch_has_no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_configured()


def test_an_sbatch_without_scontrol_beside_it_is_a_cluster(path):
    path()
    assert is_configured()


def submitted_run(folder: Path, job_id: str, events: list[str], kind: str = "slurm") -> RunDir:
    """A run dir with these events, and a job.json that names the job."""
    run = RunDir(folder / "runs" / "tiny" / "2026-01-01_00-00-00")
    run.path.mkdir(parents=True)
    run.job.write_text(f'{{"cluster": "{kind}", "job_id": "{job_id}"}}')
    for event in events:
        attempt = 1 if event in ("started", "stopped", "finished") else 0
        facts = {
            "submitted": {"cluster": kind, "job_id": job_id},
            "stopped": {"exit_code": 3, "reason": "rank 0 on n1: ValueError"},
        }
        run.add_event(event, attempt=attempt, **facts.get(event, {}))
    return run


def test_a_task_of_an_array_is_distinguished_from_the_one_that_has_the_arrays_own_number(path):
    tasks = {**SILENT, "stdout": "7_0|RUNNING\n7_1|PENDING\n"}
    calls = path(squeue=tasks, sacct=OLD["sacct_unknown_job"])
    assert Slurm().states(["7_0", "7_1", "7_2"]) == {
        "7_0": RunState.RUNNING, "7_1": RunState.PENDING, "7_2": RunState.LOST,
    }  # fmt: skip
    assert "squeue --noheader --states=all --format=%F_%K|%T --jobs 7_0,7_1,7_2" in calls.read_text()
