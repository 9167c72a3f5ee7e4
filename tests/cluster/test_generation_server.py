"""grpo on a real Slurm cluster: two nodes that train, and one that runs the tests' generation server."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.matrix.cells import write_data
from tests.support.generated import EVERY, at_step, same, served, until
from tests.support.lab import Lab
from tests.support.runs import Finished

pytestmark = [pytest.mark.slurm, pytest.mark.train]


@pytest.fixture(scope="module")
def start(lab: Lab, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Finished]:
    """A submitted run."""
    folder = tmp_path_factory.mktemp("generation")
    write_data(folder)

    def start(*overrides: str, slow_s: float = 0.3) -> Finished:
        return lab.launch(
            folder, f"cache_dir={cache}", "resources.nodes=2", *served(folder, slow_s), *overrides
        )

    return start


@pytest.fixture(scope="module")
def whole(lab: Lab, start: Callable[..., Finished]) -> Finished:
    """The undisturbed run."""
    run = start(slow_s=0.0)
    lab.wait(run, "finished")
    return run


@pytest.fixture(autouse=True)
def _healthy(lab: Lab, tmp_path: Path) -> Iterator[None]:
    """Boots nodes that a test has crashed."""
    yield
    lab.run("scancel", "--user=root", cwd=tmp_path)
    for number in range(1, 5):
        with contextlib.suppress(Exception):
            lab("boot", f"n{number}")
        lab.run("scontrol", "update", f"NodeName=n{number}", "State=RESUME", cwd=tmp_path, check=False)
    idle = ("sinfo", "-hr", "-p", "main", "-t", "idle", "-o", "%D")
    until(lambda: lab.run(*idle, cwd=tmp_path).stdout.strip() == "4", 90)


def server_host(run: Finished) -> str:
    return run.events("server_ready")[-1]["host"]


def kill_server(lab: Lab, run: Finished) -> None:
    done = lab.on(server_host(run), "pkill", "-KILL", "-f", "generation_server.py")
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_server_on_a_node_of_its_own_that_is_killed_comes_back_while_the_ranks_wait(lab, start):
    run = start()
    until(lambda: at_step(run, 3))
    hosts = lab.hosts(run)
    assert server_host(run) == hosts[-1] and len(hosts) == 3
    assert not lab.on(hosts[-1], "pgrep", "-f", "generation_server.py").stdout.split()[1:], "one server"
    kill_server(lab, run)
    lab.wait(run, "finished")
    assert len(run.events("started")) == 1
    assert [(event["reason"], event["next"]) for event in run.events("server_lost")] == [
        ("it was ended by signal 9", hosts[-1])
    ]
    assert {path.stem for path in run.path.glob("logs/*_1/*.log")} == {*hosts[:2], f"{hosts[-1]}.server"}


@pytest.mark.long
def test_a_killed_training_rank_takes_ranks_and_server_back_to_the_newest_checkpoint(lab, start, whole):
    run = start()
    until(lambda: at_step(run, EVERY + 1))
    host = lab.hosts(run)[1]
    lab.on(host, "kill", "-KILL", lab.on(host, "pgrep", "-n", "-f", "launcher.train.warm").stdout.strip())
    lab.wait(run, "finished")
    same(run, whole)
    assert [(event["how"], event["hosts"]) for event in run.events("ended")] == [("crashed", [host])]
    assert [event["step"] for event in run.events("resumed")] == [EVERY]


@pytest.mark.long
def test_a_server_whose_node_crashes_goes_to_a_spare_while_the_ranks_wait(lab, start, whole):
    run = start("resources.spares=1")
    until(lambda: at_step(run, 3))
    before = server_host(run)
    lab("crash", before)
    lab.wait(run, "finished")
    same(run, whole)
    assert len(run.events("started")) == 1
    assert server_host(run) != before and run.events("server_lost")[0]["next"] == server_host(run)


@pytest.mark.long
def test_a_server_whose_node_crashes_without_a_spare_takes_all_to_another_job(lab, start, whole):
    run = start()
    until(lambda: at_step(run, 3))
    before = server_host(run)
    lab("crash", before)
    lab.wait(run, "finished", 240)
    same(run, whole)
    assert len(run.events("requeued")) == 1
    assert server_host(run) != before


@pytest.mark.long
def test_a_requeued_job_starts_ranks_and_server_together(lab, start, whole):
    run = start()
    until(lambda: at_step(run, 3))
    lab.run("scontrol", "requeue", lab.job(run), cwd=run.path)
    lab.wait(run, "finished", 240)
    same(run, whole)
    assert len(run.events("server_ready")) == 2 and not run.events("server_lost")
