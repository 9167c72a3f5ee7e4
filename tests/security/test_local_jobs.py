"""A process of this machine that has the id of an ended run, or a command that looks like one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.clusters.base import RunState
from launcher.clusters.local import SPEC, process_id
from launcher.processes import is_stopped, start_ticks
from tests.support.runs import Finished, command, environment


@pytest.fixture
def other(tmp_path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with a run, although its command line ends in job.sbatch."""
    process = subprocess.Popen(
        ["tail", "-f", "/dev/null", str(tmp_path / "job.sbatch")], stderr=subprocess.DEVNULL
    )
    yield process
    process.kill()
    process.wait()


def test_a_process_that_only_names_a_job_script_is_not_killed(other):
    assert SPEC.states([str(other.pid)]) == {str(other.pid): RunState.LOST}
    SPEC.cancel(str(other.pid))
    assert other.poll() is None


def test_a_process_with_the_id_of_an_earlier_one_is_not_killed(other):
    ticks = start_ticks(other.pid)
    assert ticks is not None
    reused = process_id(str(other.pid), ticks - 1)
    assert SPEC.state(reused) is RunState.LOST
    SPEC.cancel(reused)
    assert other.poll() is None
    assert SPEC.state(process_id(str(other.pid), ticks)) is RunState.RUNNING


def test_a_process_whose_name_is_no_text_ends_no_verb():
    """Another user's process can have the id that an ended run wrote down, and any name."""
    rename = "pathlib.Path('/proc/self/comm').write_bytes(bytes([0xff]) + b') Z 1')"
    named = f"import pathlib, time; {rename}; print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", named], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        ticks = start_ticks(process.pid)
        assert ticks is not None and not is_stopped(process.pid)
        assert SPEC.state(process_id(str(process.pid), ticks - 1)) is RunState.LOST
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while not is_stopped(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_stopped(process.pid)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("job_id", ["", "0", "-1", "../1", "self", "1/../1", "9" * 30])
def test_what_is_no_process_id_is_no_process(job_id: str):
    assert SPEC.state(job_id) is RunState.LOST
    SPEC.cancel(job_id)


@pytest.mark.long
@pytest.mark.train
def test_a_killed_agent_of_a_local_run_is_started_again(tmp_path, cache):
    environ = environment(OMP_NUM_THREADS="1")
    words = [
        "+experiment=tiny",
        "cluster=local",
        f"cache_dir={cache}",
        "trainer.max_steps=600",
        "name=killed",
    ]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(command(*words), cwd=tmp_path, env=environ, stdout=log, stderr=log)
    deadline = time.monotonic() + 200
    while '"saved"' not in "".join(path.read_text() for path in tmp_path.glob("runs/killed/*/events.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    [job] = tmp_path.glob("runs/killed/*/job.json")
    supervisor = json.loads(job.read_text())["job_id"]
    [agent] = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    os.kill(int(agent), signal.SIGKILL)
    assert process.wait(200) == 0
    run = Finished(job.parent)
    assert [event["how"] for event in run.events("ended")] == ["lost"]
    assert len(run.events("finished")) == 1
