"""resources=auto on a real Slurm cluster whose queue is busy: the shape that finishes first by Slurm's own answers."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.runs import Finished, command

pytestmark = [pytest.mark.slurm, pytest.mark.train, pytest.mark.long]

SHAPES = "resources.shapes=[{nodes: 1}, {nodes: 2}, {nodes: 4}]"
BATCH = ("batch.global_batch_size=4", "batch.micro_batch_size=1", "data.eval_path=null")


@pytest.fixture
def busy(lab: Lab, tmp_path: Path) -> Iterator[None]:
    """Three of the four nodes are taken for 30 minutes, and a job of two nodes waits for them."""
    jobs = [
        lab.run(
            "sbatch", "--parsable", "--exclusive", "--output=/dev/null", f"--nodes={nodes}", f"--time={minutes}",
            "--wrap=sleep 1800", cwd=tmp_path,
        ).stdout.strip()
        for nodes, minutes in ((3, 30), (2, 20))
    ]  # fmt: skip
    deadline = time.monotonic() + 90  # the backfill scheduler plans the waiting job every 30 s
    while time.monotonic() < deadline:
        told = lab.run("squeue", "--noheader", f"--jobs={jobs[1]}", "--format=%S", cwd=tmp_path).stdout
        if told.strip()[:2] == "20":
            break
        time.sleep(1)
    yield
    lab.run("scancel", *jobs, cwd=tmp_path)


def test_the_shape_that_finishes_first_in_a_busy_queue_is_submitted(lab, busy, tmp_path):
    """GPUs are planned, since the time on CPU ranks is not estimated; the job itself is cancelled."""
    done = lab.run(
        *command(
            "+experiment=tiny", "cluster=slurm", "resources.device=cuda", SHAPES, *BATCH, "resources.time=00:25:00",
            "freeze=false", "--json",
        ),
        cwd=tmp_path,
    )  # fmt: skip
    told = json.loads(done.stdout)
    rows = {row["nodes"]: row for row in told["shapes"]}
    nodes = lab.run(
        "squeue", "--noheader", "--jobs", told["job_id"], "--format=%D", cwd=tmp_path
    ).stdout.strip()
    lab.run("scancel", told["job_id"], cwd=tmp_path)
    assert nodes == "1" and rows[1]["chosen"]
    assert rows[1]["starts_in_s"] < 700  # a node is free, and Slurm adds 10 minutes since a job waits
    assert rows[2]["starts_in_s"] > 1500 and rows[4]["starts_in_s"] > 1500  # after the job of 30 minutes
    assert "resources.auto compares 3 shapes" in done.stderr


def test_a_run_that_queues_itself_again_continues_on_the_shape_that_is_left(lab, cache, tmp_path):
    """Three nodes go out of service while a run of two nodes trains: it continues, from its checkpoint, on one."""
    done = lab.run(
        *command(
            "+experiment=tiny", "cluster=slurm", "resources.device=cpu", "resources.nodes=2", f"cache_dir={cache}",
            "resources.shapes=[{nodes: 1}, {nodes: 2}]", *BATCH, "trainer.max_steps=40",
            "plugins.sharded_checkpoint.save_steps=5", "--json",
        ),
        cwd=tmp_path,
    )  # fmt: skip
    run = Finished(Path(json.loads(done.stdout)["run_dir"]))
    lab.wait(run, "saved")
    first = lab.job(run)
    hosts = ["n1", "n2", "n3", "n4"]
    out = [host for host in hosts if host != lab.hosts(run)[0]]
    try:
        for host in out:
            lab.run("scontrol", "update", f"NodeName={host}", "State=DRAIN", "Reason=test", cwd=tmp_path)
        lab.run("scancel", "--signal=USR1", "--batch", first, cwd=tmp_path)
        lab.wait(run, "reshaped")
        lab.wait(run, "finished")
    finally:
        for host in out:
            lab.run("scontrol", "update", f"NodeName={host}", "State=RESUME", cwd=tmp_path, check=False)
    (event,) = run.events("reshaped")
    assert (event["before"], event["after"]) == ("2 x 1", "1 x 1")
    assert lab.job(run) != first and len(run.losses) == 40
    assert json.loads((run.path / "plan.json").read_text())["topology"]["nodes"] == 1
