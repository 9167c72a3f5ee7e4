"""grpo whose answers come from a server beside the ranks, on this machine: real ranks, a real server, real faults."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.run import RunDir
from launcher.status.state import read_status
from tests.matrix.cells import write_data
from tests.support.generated import STEPS, at_step, final, same, served, until
from tests.support.processes import command_lines
from tests.support.runs import Finished, command, environment

pytestmark = pytest.mark.train
Started = tuple[Finished, "subprocess.Popen[str]"]
TWO = "resources.gpus_per_node=2"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Callable[..., Started]]:
    """A started run of that name, and its command's process."""
    folder = tmp_path_factory.mktemp("generation")
    write_data(folder)
    begun: list[subprocess.Popen[str]] = []

    def start(name: str, *overrides: str, slow_s: float = 0.0) -> Started:
        typed = command(
            "+experiment=tiny", "cluster=local", f"cache_dir={cache}", f"name={name}", "generation.nodes=0",
            *served(folder, slow_s), "--json", *overrides,
        )  # fmt: skip
        process = subprocess.Popen(
            typed, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        begun.append(process)
        until(lambda: bool(list(folder.glob(f"runs/{name}/*/job.json"))) or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        return Finished(next(folder.glob(f"runs/{name}/*"))), process

    yield start
    for process in begun:
        process.kill()


@pytest.fixture(scope="module")
def whole(start: Callable[..., Started]) -> Finished:
    """The undisturbed run."""
    return ends(*start("whole", TWO))


def ends(run: Finished, process: "subprocess.Popen[str]") -> Finished:
    """The run after its end, which must be a good one."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, f"{out}\n{err}\n{run.logs()}"
    return run


def processes(*words: str) -> list[int]:
    """The processes of whose command lines each of these is a word, the youngest first."""
    wanted = {word.encode() for word in words}
    return sorted(
        (pid for pid, line in command_lines().items() if wanted <= set(line.split(b"\0"))), reverse=True
    )


def server_pid(run: Finished) -> int:
    """Its newest server, by the port that it was given."""
    return processes(run.events("server_ready")[-1]["url"].rpartition(":")[2])[0]


def test_the_server_has_the_weights_of_every_step_and_the_ranks_say_how_long_they_waited(whole):
    assert len(whole.losses) == STEPS
    log = next(whole.path.glob("logs/*_1/*.server.log")).read_text().splitlines()
    assert [line for line in log if line.startswith(("weights", "completions"))] == [
        word for step in range(1, STEPS + 1) for word in (f"weights {step}", f"completions {step}")
    ]
    assert len(set(final(whole, "reward"))) > 1
    assert all(0 < share <= 1 for share in final(whole, "generation_wait_share"))
    status = read_status(RunDir(whole.path))
    assert status.generation and status.generation["lost"] == 0
    assert (status.generation["wait_share"] or 0) > 0
    told = subprocess.run(
        command("logs", str(whole.path)), env=environment(), capture_output=True, text=True, check=True
    )
    assert "completions 1" in told.stdout
    assert not processes(f"{whole.path}"), "nothing is left"


@pytest.mark.long
def test_a_killed_server_comes_back_within_the_attempt_and_a_killed_rank_takes_both_back(start, whole):
    run, process = start("killed", TWO, slow_s=0.3)
    until(lambda: at_step(run, 3))
    os.kill(server_pid(run), signal.SIGKILL)
    until(lambda: at_step(run, 5))
    assert len(run.events("started")) == 1
    assert [event["reason"] for event in run.events("server_lost")] == ["it was ended by signal 9"]
    assert len(run.events("server_ready")) == 2
    os.kill(processes("launcher.train.warm", str(run.path))[0], signal.SIGKILL)
    ends(run, process)
    assert [event["how"] for event in run.events("ended")] == ["crashed"]
    assert run.events("resumed")[0]["step"] >= 4
    same(run, whole)


@pytest.mark.long
def test_a_server_that_hangs_is_killed_and_started_again_before_the_ranks_count_as_hung(start, whole):
    run, process = start("stopped", TWO, slow_s=0.3)
    until(lambda: at_step(run, 6))  # from now on the limit of a step is resources.hang_timeout_s
    os.kill(server_pid(run), signal.SIGSTOP)
    ends(run, process)
    assert [event["reason"] for event in run.events("server_lost")] == ["it has not answered for 30 s"]
    assert len(run.events("started")) == 1
    same(run, whole)


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["zero2", "zero3", "fsdp2"])
def test_ranks_that_share_weights_send_all_of_them_and_wait_together(start, whole, strategy):
    run, process = start(strategy, TWO, f"strategy={strategy}", slow_s=0.3)
    until(lambda: at_step(run, 3))
    os.kill(server_pid(run), signal.SIGKILL)
    ends(run, process)
    assert len(run.events("started")) == 1 and len(run.events("server_ready")) == 2
    assert final(run, "loss")[0] == pytest.approx(final(whole, "loss")[0], abs=1e-6)
    assert final(run, "reward")[:2] == pytest.approx(final(whole, "reward")[:2], abs=1e-6)


@pytest.mark.long
def test_an_adapter_reaches_the_server_and_its_frozen_weights_stay_as_they_are(start):
    lora = ("plugin=[lora,sharded_checkpoint]", "trainer.learning_rate=1e-2", TWO)
    undisturbed = ends(*start("lora", *lora))
    assert len(set(final(undisturbed, "reward"))) > 1
    run, process = start("lora_killed", *lora, slow_s=0.3)
    until(lambda: at_step(run, 3))
    os.kill(server_pid(run), signal.SIGKILL)
    until(lambda: at_step(run, 5))
    os.kill(processes("launcher.train.warm", str(run.path))[0], signal.SIGKILL)
    ends(run, process)
    same(run, undisturbed)


@pytest.mark.long
def test_a_server_that_never_answers_stops_the_run_with_its_own_exit_code(start):
    run, process = start(
        "broken", "generation.command=[python3,-c,'raise SystemExit(7)','{port}']", "generation.restarts=1"
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 15, f"{out}\n{err}\n{run.logs()}"
    stopped = run.events("stopped")[-1]
    assert "it ended with exit code 7; it was started 2 times, see logs/" in stopped["reason"]
    assert "correct cluster.srun, cluster.setup, cluster.container or generation.command" in stopped["reason"]
