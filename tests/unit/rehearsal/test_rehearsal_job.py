"""The rehearsal's run as a job: what cannot be ended is told."""

import json
import os
from pathlib import Path

from launcher.clusters.registry import make_cluster
from launcher.rehearsal.job import RehearsedJob
from launcher.run import RunDir
from tests.support.fake_slurm import write_programs


def test_a_job_that_the_scheduler_does_not_cancel_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch, capfd
):
    programs = write_programs(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (tmp_path / "queue" / "000007.job").write_text(str(tmp_path / "job.sbatch"))
    (programs / "scancel").write_text("#!/bin/sh\necho 'scancel: error: Access denied' >&2; exit 1\n")
    run = RunDir(tmp_path / "runs" / "rehearse-mine" / "2026-01-01_00-00-00")
    run.path.mkdir(parents=True)
    run.job.write_text(json.dumps({"cluster": "slurm", "job_id": "7"}))
    RehearsedJob(run, make_cluster("slurm"), 1.0).end_for_good()
    told = "".join(capfd.readouterr())
    assert "Access denied" in told and f"type python -m launcher cancel {run.name}" in told
