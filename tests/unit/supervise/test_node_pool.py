"""What the command that starts the nodes said, as the reason of a failure."""

import os
import subprocess

import pytest

from launcher.supervise.node_pool import StepOutput


def output(text: str) -> StepOutput:
    child = subprocess.Popen(["printf", "%s", text], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.wait()
    return StepOutput(child.stdout)


@pytest.mark.parametrize(
    ("text", "words", "transient"),
    [
        ("srun: error: Couldn't find the plugin mpi/pmix\n", "srun: error: Couldn't find the plugin mpi/pmix", False),
        ("banner\nsrun: error: execve(): bash: No such file\nbanner\n", "srun: error: execve(): bash: No such file", False),
        (
            "node.sh: line 9: /x/python: cannot execute binary file: Exec format error\n",  # of another architecture
            "node.sh: line 9: /x/python: cannot execute binary file: Exec format error",
            False,
        ),
        ("srun: error: Task launch for StepId=3.0 failed on node n2: Communication connection failure\n", None, True),
        ("srun: error: Node failure on n2\n", None, True),
        ("only a banner\nthe last line", "the last line", False),
        (
            "a module was loaded\nch-run[347]: error: can't bind: destination not found: /image/dev (ch_core.c:111)\n"
            "srun: error: n1: task 0: Exited with exit code 1\n",
            "ch-run[347]: error: can't bind: destination not found: /image/dev (ch_core.c:111); "
            "srun: error: n1: task 0: Exited with exit code 1",
            False,
        ),
        (
            "srun: error: n[1-2]: tasks 0-1: Exited with exit code 1\n",
            "srun: error: n[1-2]: tasks 0-1: Exited with exit code 1",
            False,
        ),
        ("", "", False),
    ],
)  # fmt: skip
def test_the_commands_own_message_is_kept(text: str, words: str | None, transient: bool, capfd):
    step = output(text)
    if words is not None:
        assert step.words() == words
    else:
        step.words()
    assert step.is_transient() is transient
    assert capfd.readouterr().err == text


def test_a_message_that_is_longer_than_a_pipe_does_not_block_the_command(capfd):
    reading, writing = os.pipe()
    step = StepOutput(os.fdopen(reading, "rb"))
    with os.fdopen(writing, "wb") as stream:
        stream.write(b"srun: line\n" * 20_000)
    assert step.words() == "srun: line"
    assert capfd.readouterr().err.count("\n") == 20_000
