"""The status of a run from its files and its cluster."""

import json
import socket
import subprocess
from pathlib import Path

from launcher.clusters.base import RunState
from launcher.processes import start_ticks
from launcher.run import RunDir
from launcher.status.state import read_status


def test_a_running_job_without_a_single_event_has_a_status(tmp_path: Path):
    run = RunDir(tmp_path / "runs" / "one" / "2026-01-01_00-00-00")
    run.path.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as process:
        job = {
            "cluster": "local",
            "job_id": str(process.pid),
            "host": socket.gethostname(),
            "started": start_ticks(process.pid),
        }
        run.job.write_text(json.dumps(job))
        try:
            assert read_status(run).state is RunState.RUNNING
        finally:
            process.kill()
