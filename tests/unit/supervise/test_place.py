"""How the supervisor queues a run again: what the scheduler refuses is told, and the next way is taken."""

from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.plugins.decide import read_run
from launcher.run import RunDir
from launcher.supervise.avoid import Avoided
from launcher.supervise.place import Place
from launcher.supervise.steady import SteadyRun
from tests.support.fake_slurm import write_programs


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_refused_new_job_is_told_and_the_present_one_is_queued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    programs = write_programs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    words = [
        "+experiment=tiny",
        "cluster=slurm",
        "dry_run=true",
        "data.check=off",
        f"cache_dir={tmp_path}/cache",
    ]
    assert main(words) == 0
    (plan,) = tmp_path.glob("runs/*/*/plan.json")
    run = SteadyRun(plan.parent)
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1", "SLURMD_NODENAME": "n1"}.items():
        monkeypatch.setenv(name, value)
    write_program(programs / "sbatch", "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1")
    write_program(programs / "scontrol", f'echo "$@" >> {tmp_path}/asked')
    told = Place(run, read_run(RunDir(run.path)).plan).requeue(Avoided())
    assert told == "job 7 is queued again"
    said = "".join(capfd.readouterr())
    assert (
        "QOSMaxSubmitJobPerUserLimit" in said and "job 7 is queued again, and no new job follows it" in said
    )
    assert "requeue 7" in (tmp_path / "asked").read_text()
