"""resources=auto at a requeue on a real Slurm cluster whose queue is busy."""

import json
import time
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.runs import Finished, command

pytestmark = [pytest.mark.slurm, pytest.mark.train, pytest.mark.long]

SLEEPER = """
import dataclasses, os, time
from launcher.plugins.base import Plugin
@dataclasses.dataclass(frozen=True)
class Sleeper(Plugin):
    pass
if "RANK" in os.environ:
    time.sleep(600)
"""
"""A plugin whose ranks never come to use the GPUs, which the nodes do not have."""


def test_a_run_asks_a_busy_queue_again_whenever_it_is_queued_again(lab, tmp_path):
    """The time is planned for GPUs, since it is not estimated for CPU ranks. Only the queue differs between the two requeues:
    in the second one, a job waits that takes the nodes of the run."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    done = lab.run(
        *command(
            "+experiment=llama8b_lora", "cluster=slurm", "cluster.gpu_type=h100", "cluster.sbatch.exclusive=true",
            "resources.shapes=[{nodes: 1, gpus_per_node: 1}, {nodes: 2, gpus_per_node: 1}]", "resources.time=01:00:00",
            "batch.global_batch_size=32", "batch.micro_batch_size=1", "trainer.max_steps=60", "data.eval_path=null",
            "+plugins.sleeper._target_=sleeper.Sleeper", "cluster.node_cache=null", "--json",
        ),
        cwd=tmp_path, HF_ENDPOINT="http://127.0.0.1:1",
    )  # fmt: skip
    run = Finished(Path(json.loads(done.stdout)["run_dir"]))
    jobs: list[str] = []

    def queued_again() -> None:
        before = len(run.events("started"))
        lab.run("scancel", "--signal=TERM", "--batch", lab.job(run), cwd=tmp_path)
        deadline = time.monotonic() + 120
        while len(run.events("requeued")) < before and time.monotonic() < deadline:
            time.sleep(0.2)
        assert len(run.events("requeued")) == before, run.logs()

    try:
        lab.wait(run, "started")
        assert len(lab.hosts(run)) == 2
        queued_again()
        assert not run.events("reshaped")
        _until_started(run, 2)
        for nodes, minutes in ((1, 45), (2, 20)):
            words = (
                "--exclusive",
                "--output=/dev/null",
                f"--nodes={nodes}",
                f"--time={minutes}",
                "--wrap=sleep 1800",
            )
            jobs.append(lab.run("sbatch", "--parsable", *words, cwd=tmp_path).stdout.strip())
        _until_planned(lab, jobs[1], tmp_path)
        queued_again()
        lab.wait(run, "reshaped", 60)  # it is noted after the event of the requeue
        (event,) = run.events("reshaped")
        assert (event["before"], event["after"]) == ("2 x 1", "1 x 1")
        _until_started(run, 3)
        assert len(lab.hosts(run)) == 1
    finally:
        lab.run("scancel", *jobs, lab.job(run), cwd=tmp_path, check=False)


def _until_started(run: Finished, times: int) -> None:
    deadline = time.monotonic() + 120
    while len(run.events("started")) < times:
        assert time.monotonic() < deadline, run.logs()
        time.sleep(0.2)


def _until_planned(lab: Lab, job: str, cwd: Path) -> None:
    """The backfill scheduler plans a waiting job every 30 s."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        told = lab.run("squeue", "--noheader", f"--jobs={job}", "--format=%S", cwd=cwd).stdout
        if told.strip()[:2] == "20":
            return
        time.sleep(1)
