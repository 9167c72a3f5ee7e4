"""A node of a job without its batch host queues the job again, unless another node leads it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.clusters.job import Job, JobRecord
from launcher.clusters.slurm.cluster import Slurm
from launcher.run import RunDir
from launcher.run.events.supervisor import Requeued, Started
from launcher.supervise.orphaned import queue_again


class Orphaned(Slurm):
    """It has removed n1, the batch host, from job 7."""

    def __init__(self) -> None:
        super().__init__()
        self.requeued: list[str] = []

    def with_timeout(self, timeout_s: float) -> "Orphaned":
        return self

    def record(self, job_id: str) -> JobRecord | None:
        return JobRecord(running=True, batch_host="n1", nodes="n2,n3")

    def hosts(self, nodes: str) -> list[str]:
        return nodes.split(",")

    def requeue(self, job_id: str) -> None:
        self.requeued.append(job_id)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "runs" / "name" / "date")
    run.path.mkdir(parents=True)
    run.lease.write_text("{}")
    run.note(Started(attempt=1, job_id="7", host="n1"))
    return run


@contextmanager
def heartbeat(run: RunDir) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        while not over.wait(1.0):
            os.utime(run.lease)

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    over.set()
    thread.join()


def test_a_job_that_nobody_leads_is_queued_again(run: RunDir):
    cluster = Orphaned()
    queue_again(run, cluster, Job(id="7", restart=0), 0)
    assert cluster.requeued == ["7"]
    assert [event.reason for event in run.read_events(Requeued)] == ["n1, the batch host, is lost"]


def test_a_job_that_another_node_leads_is_left_alone(run: RunDir, capsys: pytest.CaptureFixture[str]):
    cluster = Orphaned()
    with heartbeat(run):
        queue_again(run, cluster, Job(id="7", restart=0), 0)
    assert cluster.requeued == [] and run.read_events(Requeued) == []
    assert capsys.readouterr().err == "launcher: another node leads the job, which this one does not reach\n"
