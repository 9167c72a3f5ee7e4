"""A process of this machine that has the id of an ended run, or a command that looks like one."""

import subprocess
from collections.abc import Iterator

import pytest

from launcher.clusters.base import RunState
from launcher.clusters.local import SPEC, process_id
from launcher.processes import start_ticks


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


@pytest.mark.parametrize("job_id", ["", "0", "-1", "../1", "self", "1/../1", "9" * 30])
def test_what_is_no_process_id_is_no_process(job_id: str):
    assert SPEC.state(job_id) is RunState.LOST
    SPEC.cancel(job_id)
