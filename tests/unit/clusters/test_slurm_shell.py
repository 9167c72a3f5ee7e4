"""What of the user's shell reaches Slurm's commands."""

from pathlib import Path

import pytest

from launcher.clusters.base import Refused
from launcher.clusters.registry import find_cluster
from launcher.clusters.slurm import shell
from launcher.clusters.slurm.step import step_command
from launcher.errors import ClusterError

BARE = {"HOME": "/home/me", "PATH": "/usr/bin", "WANDB_MODE": "offline", "OMP_NUM_THREADS": "4"}
OPTIONS = {"time": "12:00:00", "mem": "100G", "gpus-per-node": "4", "partition": "gpu", "output": "logs/x"}


@pytest.mark.parametrize(
    ("variable", "left_out"),
    [
        ("SBATCH_TIMELIMIT", True),  # planned
        ("SBATCH_MEM_PER_NODE", True),
        ("SBATCH_MEM_PER_CPU", True),  # sbatch takes one of them
        ("SBATCH_PARTITION", True),  # the site's file says another
        ("SBATCH_OUTPUT", True),
        ("SBATCH_EXPORT", True),
        ("SBATCH_GRES", False),
        ("SBATCH_ACCOUNT", False),
        ("SBATCH_QOS", False),
        ("SBATCH_CPUS_PER_GPU", False),
    ],
)
def test_a_variable_of_sbatch_wins_over_no_option_of_the_run(variable: str, left_out: bool):
    environ = {**BARE, variable: "x1"}
    assert (variable not in shell.for_sbatch(environ, OPTIONS)) is left_out
    (told,) = shell.warnings(environ, OPTIONS)
    assert variable in told and ("left out" in told) is left_out


def test_a_plain_shell_reaches_sbatch_whole_and_without_a_word():
    assert shell.for_sbatch(BARE, OPTIONS) == BARE
    assert shell.warnings(BARE, OPTIONS) == []


def test_nothing_of_the_job_in_which_the_command_is_typed_reaches_the_new_one():
    inside = {
        **BARE, "SLURM_JOB_ID": "71", "SLURM_STEP_ID": "0", "SLURM_MEM_PER_CPU": "2000", "SLURM_CPU_BIND": "mask_cpu:0x1",
        "SLURMD_NODENAME": "n1", "CUDA_VISIBLE_DEVICES": "3", "OMP_NUM_THREADS": "1", "TMPDIR": "/scratch/slurm.71.0",
        "PMIX_RANK": "0", "SLURM_CONF": "/etc/slurm.conf",
    }  # fmt: skip
    kept = shell.for_sbatch(inside, OPTIONS)
    assert kept == {
        **{name: BARE[name] for name in ("HOME", "PATH", "WANDB_MODE")},
        "SLURM_CONF": "/etc/slurm.conf",
    }
    (told,) = shell.warnings(inside, OPTIONS)
    assert "job 71" in told and "OMP_NUM_THREADS" in told and "CUDA_VISIBLE_DEVICES" in told


def test_options_of_srun_in_a_plain_shell_do_not_reach_the_step_of_the_job():
    """sbatch passes them on, and srun in the job would read them: a limit of five seconds, memory requested twice."""
    module = {
        "SLURM_TIMELIMIT": "5", "SLURM_MEM_PER_CPU": "200", "SLURM_MEM_PER_NODE": "300", "SLURM_MPI_TYPE": "pmix",
        "SRUN_CPUS_PER_TASK": "1", "SLURM_EXPORT_ENV": "NONE",
    }  # fmt: skip
    other = {"SLURM_CONF": "/etc/slurm.conf", "SLURM_ROOT": "/opt/slurm"}
    assert shell.for_sbatch({**BARE, **module, **other}, OPTIONS) == {**BARE, **other}
    (told,) = shell.warnings({**BARE, **module, **other}, OPTIONS)
    assert "SLURM_TIMELIMIT=5" in told and "SLURM_MPI_TYPE=pmix" in told and "cluster.srun" in told
    assert "SLURM_EXPORT_ENV" not in told and "SLURM_ROOT" not in told
    assert shell.warnings({**BARE, "SLURM_EXPORT_ENV": "NONE"}, OPTIONS) == []


def test_a_job_that_queues_its_successor_keeps_the_users_own_thread_number():
    batch = {**BARE, "SLURM_JOB_ID": "71", "SLURM_MEM_PER_NODE": "5"}
    assert shell.for_sbatch(batch, OPTIONS) == BARE


def test_a_supervisor_that_an_agent_has_started_queues_a_job_with_the_users_own_thread_number():
    """It runs in the step of the job, whose batch host is lost; OMP_PLACES is srun's."""
    script = {**BARE, "SLURM_JOB_ID": "71"}
    step = {
        **script,
        **find_cluster("slurm").step_environment(script),
        "SLURM_STEP_ID": "0",
        "OMP_PLACES": "cores",
    }
    kept = shell.for_sbatch(step, OPTIONS)
    assert {name: kept[name] for name in BARE} == BARE and "OMP_PLACES" not in kept


def test_questions_are_asked_without_the_users_filters():
    filters = {
        "SQUEUE_PARTITION": "x",
        "SQUEUE_STATES": "PD",
        "SACCT_FORMAT": "x",
        "SCANCEL_INTERACTIVE": "1",
        "SCANCEL_STATE": "PENDING",
        "SLURM_TIME_FORMAT": "relative",
    }
    assert shell.for_questions({**BARE, **filters, "SLURM_CONF": "/c"}) == {**BARE, "SLURM_CONF": "/c"}


def test_the_options_of_a_script_are_read_back(tmp_path: Path):
    script = tmp_path / "job.sbatch"
    script.write_text(
        '#!/bin/bash\n#SBATCH --time=1:00\n#SBATCH --no-kill\n#SBATCH --clusters=a,b\necho "#SBATCH --x"\n'
    )
    assert shell.directives(script) == {"time": "1:00", "no-kill": "", "clusters": "a,b"}
    assert shell.directives(tmp_path / "none") == {}


@pytest.mark.parametrize("kind", ["slurm", "allocation"])
@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"SLURM_STEP_NUM_TASKS": "4"}, "4 copies of this command"),
        ({"SLURM_HET_SIZE": "2"}, "heterogeneous job of 2 parts"),
    ],
)
def test_copies_of_the_command_and_mixed_jobs_are_refused(
    tmp_path, monkeypatch, kind: str, variables, says: str
):
    sbatch = tmp_path / "sbatch"
    sbatch.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=says):
        find_cluster(kind).check_start({"SLURM_JOB_ID": "1", **variables})
    find_cluster(kind).check_start({"SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "1"})


def test_a_step_inside_a_step_shares_its_resources():
    job = {"SLURM_JOB_NODELIST": "n1"}
    assert "--overlap" not in step_command(("--nodes=1",), job)
    assert "--overlap" in step_command(("--nodes=1",), {**job, "SLURM_STEP_ID": "0"})
    assert (
        step_command(("--cpus-per-task=2",), {**job, "SLURM_CPUS_PER_TASK": "9"}).count("--cpus-per-task=2")
        == 1
    )


SBATCH = """#!/bin/sh
echo "$*" >> {log}
case "$*" in *--test-only*n3*) echo "allocation failure: Requested node configuration is not available" >&2; exit 1;; esac
echo 7
"""
"""An sbatch whose other nodes than n3 are down. Slurm 22.05 says this on slurm/lab."""


def test_a_job_avoids_the_hosts_of_its_script_too_and_none_that_it_cannot_start_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log, program, script = tmp_path / "log", tmp_path / "sbatch", tmp_path / "job.sbatch"
    program.write_text(SBATCH.format(log=log))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    script.write_text("#!/bin/bash\n#SBATCH --nodes=2\n#SBATCH --exclude=n[1-2]\n")
    slurm = find_cluster("slurm")
    assert slurm.submit(script, avoid=["n4"]) == "7"
    assert log.read_text().splitlines()[-1] == f"--parsable --exclude=n[1-2],n4 {script}"
    with pytest.raises(Refused, match="Requested node configuration is not available"):
        slurm.submit(script, avoid=["n3"])
    assert "--test-only" in log.read_text().splitlines()[-1]  # nothing was queued after it
