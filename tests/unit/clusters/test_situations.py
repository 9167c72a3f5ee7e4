"""Situations on people's clusters that no other test shows: several clusters, missing programs, where a command is typed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.clusters.registry import choose_kind, find_cluster
from launcher.clusters.slurm import environment, queue
from launcher.clusters.slurm.cluster import Slurm
from launcher.errors import ClusterError
from launcher.render import render
from launcher.run import RunDir
from launcher.run.events.supervisor import Stopped


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Programs of these shell lines on an otherwise bare PATH; returns the file in which each call is noted."""

    def programs(**scripts: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, script in scripts.items():
            noted = f'echo "{name} $*" >>{tmp_path}/calls'
            (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{noted}\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return tmp_path / "calls"

    return programs


def job_script(folder: Path, *lines: str) -> Path:
    run = folder / "run"
    run.mkdir()
    (run / "job.sbatch").write_text("\n".join(["#!/bin/bash", *lines]) + "\n")
    return run


@pytest.mark.parametrize(
    ("lines", "shell", "asked"),
    [
        (["#SBATCH --clusters=alex,fritz"], {}, ["alex", "fritz"]),
        ([], {"SBATCH_CLUSTERS": "alex"}, ["alex"]),
        ([], {"SLURM_CLUSTERS": "fritz"}, ["fritz"]),
    ],
)
def test_a_cut_submission_to_another_cluster_is_found_there(
    programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines, shell, asked: list[str]
):
    run = job_script(tmp_path, *lines)
    last = asked[-1]
    answer = (
        f'case "$*" in *"--clusters {last}"*) echo "CLUSTER: {last}"; echo "7|{run}|launcher:{run}";; esac'
    )
    calls = programs(squeue=answer)
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    assert queue.jobs_of(run, 5) == [f"7;{last}"]
    assert [line.rpartition(" ")[2] for line in calls.read_text().splitlines()] == asked


def test_the_queue_of_the_cluster_that_the_shell_submits_to_is_asked_when_a_job_would_start(
    programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said = "sbatch: Job 7 to start at 2026-11-29T03:00:00 using 8 processors on nodes n1 in partition gpu"
    calls = programs(sbatch=f'cat >/dev/null; echo "{said}" >&2', squeue="exit 0")
    monkeypatch.setenv("SBATCH_CLUSTERS", "alex")
    (start,) = Slurm().when_starts([{"nodes": "1", "time": "1:00:00"}], str(tmp_path))
    assert start.at is not None
    (asked,) = [line for line in calls.read_text().splitlines() if line.startswith("squeue")]
    assert "--clusters alex" in asked


def test_a_comment_of_the_site_is_left_alone_and_its_job_is_found_by_its_folder(
    programs, plan, tmp_path: Path
):
    made = plan(
        "+experiment=tiny", "cluster=slurm", "++cluster.sbatch.comment=laion", run_dir=str(tmp_path / "run")
    )
    assert made.job_options["comment"] == "laion"
    assert "#SBATCH --comment=laion\n" in render(made)["job.sbatch"]
    run = job_script(tmp_path, "#SBATCH --comment=laion")
    programs(squeue=f'echo "7|{run}|laion"; echo "8|/elsewhere|laion"')
    assert queue.jobs_of(run, 5) == ["7"]


def test_a_cluster_that_does_not_answer_leaves_it_open_whether_the_job_is_there(programs, tmp_path: Path):
    programs(squeue='case "$*" in *fritz*) exit 1;; esac')
    assert queue.jobs_of(job_script(tmp_path, "#SBATCH --clusters=alex,fritz"), 5) is None


def test_the_limits_of_a_cluster_elsewhere_are_asked_there(programs, monkeypatch: pytest.MonkeyPatch):
    """On a login node of several clusters; the supervisor in the job asks its own."""
    answer = 'case "$*" in *--clusters=alex*) echo "MaxArraySize = 31"; echo "KillWait = 70 sec";; '
    programs(scontrol=answer + '*) echo "MaxArraySize = 9"; echo "KillWait = 5 sec";; esac')
    slurm = Slurm()
    assert (slurm.largest_array("alex"), slurm.grace_s("alex")) == (31, 70.0)
    assert (slurm.largest_array(), slurm.grace_s()) == (9, 5.0)
    monkeypatch.setenv("SBATCH_CLUSTERS", "alex")
    assert (slurm.largest_array(), slurm.grace_s()) == (31, 70.0)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert (slurm.largest_array(), slurm.grace_s()) == (9, 5.0)


def test_questions_and_actions_about_a_job_elsewhere_name_its_cluster(programs):
    calls = programs(squeue="echo '7|Priority'", scontrol="exit 0", scancel="exit 0")
    slurm = Slurm()
    slurm.reasons(["7;alex"])
    slurm.expected_starts(["7;alex"])
    slurm.ends("7;alex")
    slurm.record("7;alex")
    slurm.requeue("7;alex")
    slurm.forbid_requeue("7;alex")
    slurm.signal("7;alex", "USR1")
    lines = calls.read_text().splitlines()
    assert len(lines) == 7 and all("--clusters alex" in line for line in lines), lines


def test_without_scontrol_a_requeue_is_refused_and_its_ban_and_limits_are_not_an_error(programs):
    programs(squeue="exit 1")
    slurm = Slurm()
    with pytest.raises(ClusterError, match="scontrol requeue 7: no answer"):
        slurm.requeue("7")
    slurm.forbid_requeue("7")
    assert slurm.record("7") is None and slurm.ends("7") is None
    assert (slurm.grace_s(), slurm.largest_array(), slurm.requeue_wait_s()) == (30.0, 1001, 120.0)


@pytest.mark.parametrize(
    ("told", "seconds"), [("cred_expire=5", 5.0), ("socket=/run/a,cred_expire=60", 60.0), ("(null)", 120.0)]
)
def test_the_wait_after_a_requeue_is_the_life_of_a_credential(programs, told: str, seconds: float):
    programs(scontrol=f"echo 'AuthInfo                = {told}'")
    assert Slurm().requeue_wait_s() == seconds


@pytest.mark.parametrize(
    ("environ", "sbatch", "kind"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1"}, True, "allocation"),
        ({}, True, "slurm"),
        ({}, False, "local"),
    ],
)
def test_auto_is_the_allocation_then_slurm_then_this_machine(programs, environ, sbatch: bool, kind: str):
    programs(**({"sbatch": "exit 0"} if sbatch else {"true": "exit 0"}))
    assert choose_kind("auto", environ) == kind


@pytest.mark.parametrize(("environ", "index"), [({}, 0), ({"SLURM_NODEID": "3", "SLURM_PROCID": "12"}, 3)])
def test_a_node_knows_its_index_from_the_one_step_of_the_job(environ, index: int):
    assert environment.node_index(environ) == find_cluster("slurm").node_index(environ) == index


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "4", "SLURM_RESTART_COUNT": "2"}, ("7_4", 2)),
        ({"SLURM_JOB_ID": "8"}, ("8", 0)),
    ],
)  # fmt: skip
def test_a_task_of_an_array_is_known_by_its_own_id_when_it_is_queued_again(environ, expected):
    job = environment.job(environ)
    assert job and (job.id, job.restart) == expected


@pytest.mark.parametrize(
    ("site", "key"),
    [
        ("cluster.setup=['conda activate no_such_environment']", "cluster.setup"),
        ("cluster.modules=[no/such]", "cluster.modules"),
    ],
)
def test_a_setup_line_that_fails_is_the_reason_that_the_run_dir_keeps(
    plan, tmp_path: Path, site: str, key: str
):
    """As `conda activate` in a batch script, where conda's shell function does not exist."""
    made = plan(
        "+experiment=tiny", "cluster=slurm", site, run_dir=str(tmp_path), work_dir=str(tmp_path), python=sys.executable
    )  # fmt: skip
    (tmp_path / "job.sbatch").write_text(render(made)["job.sbatch"])
    done = subprocess.run(["bash", "job.sbatch"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    (stopped,) = RunDir(tmp_path).read_events(Stopped)
    assert done.returncode == stopped.exit_code == 127
    assert key in stopped.reason and "before the ranks were started" in stopped.reason
    assert stopped.reason in done.stderr
