"""A server on a node: a real process, whose /health is a file that Python's own web server serves."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from launcher.ports import choose_port
from launcher.protocol.places import HOST, PORT
from launcher.protocol.to_agent import StartServer
from launcher.protocol.to_supervisor import ServerState
from launcher.supervise.server_process import ServerProcess, server_environment
from tests.support.processes import command_lines

SERVING = (sys.executable, "-m", "http.server", PORT, "--bind", HOST)


def order(*words: str, **changes) -> StartServer:
    known = {
        "serial": 3, "words": words, "environment": {}, "address": "127.0.0.1", "first_gpu": 0, "gpus": 1, "folder": "1_1",
        "timeout_s": 30.0,
    }  # fmt: skip
    return StartServer(**{**known, **changes})


def news(server: ServerProcess, timeout_s: float = 30) -> ServerState:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (state := server.poll()) is not None:
            return state
        time.sleep(0.05)
    raise AssertionError("nothing is new")


@pytest.fixture
def start(tmp_path: Path):
    (tmp_path / "health").write_text("")
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    begun: list[ServerProcess] = []

    def start(*words: str, **changes) -> ServerProcess:
        server = ServerProcess(order(*words, **changes), choose_port(), os.environ, log, tmp_path)
        begun.append(server)
        return server

    yield start
    for server in begun:
        server.close()
    os.close(log)


def pid_of(server: ServerProcess) -> int:
    port = server.url.rpartition(":")[2]
    return next(pid for pid, line in command_lines().items() if port.encode() in line.split(b"\0"))


def test_a_server_that_answers_is_told_once_and_its_end_with_the_signal(start):
    server = start(*SERVING)
    assert news(server) == ServerState(serial=3, url=server.url, code=0, reason="")
    assert server.poll() is None
    os.kill(pid_of(server), signal.SIGKILL)
    assert news(server) == ServerState(serial=3, url="", code=137, reason="it was ended by signal 9")


def test_a_command_that_ends_is_over_whatever_its_exit_code(start):
    assert news(start(sys.executable, "-c", "")).code == 1
    assert news(start(sys.executable, "-c", "raise SystemExit(7)")).reason == "it ended with exit code 7"


def test_a_server_that_does_not_answer_in_time_is_killed(start):
    state = news(start(sys.executable, "-c", "import time; time.sleep(60)", timeout_s=0.5))
    assert (state.code, state.reason) == (137, "it did not answer within generation.start_timeout_s=0.5")


def test_a_command_that_is_not_there_is_an_error_of_the_system(start):
    with pytest.raises(OSError):
        start("no_such_program_of_this_name")


@pytest.mark.parametrize(
    ("visible", "seen"),
    [("4,5,6,7", "6,7"), (None, "2,3"), ("", None), ("GPU-a,GPU-b,GPU-c,GPU-d", "GPU-c,GPU-d")],
)
def test_a_server_beside_ranks_gets_the_gpus_after_theirs_and_nothing_of_a_rank(visible, seen):
    env = {"RANK": "0", "MASTER_ADDR": "h", "PATH": "/bin"}
    if visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = visible
    found = server_environment(env, order("serve", first_gpu=2, gpus=2, environment={"A": "1"}))
    assert found.pop("CUDA_VISIBLE_DEVICES") == (seen or "")
    assert found == {"PATH": "/bin", "A": "1"}
