"""The process that works for a command, and what each side says of a line that it does not understand."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.after.worker import WorkFailed, worker
from launcher.errors import Exit
from launcher.protocol.codec import decode
from launcher.protocol.work.requests import ScoreClassifier
from launcher.protocol.work.results import REPLIES, WorkError, WorkProgress
from launcher.protocol.work.scores import ClassifierScores, SortingDone

REQUEST = ScoreClassifier(run_dir="/none", checkpoint=None, data="/none", max_rows=None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "the command sent no request"),
        (b"export\n", "the command sent not a line of JSON: b'export\\n'"),
        (b'{"kind": "MakeExport", "run_dir": "/r"}\n', "the command sent MakeExport has no checkpoint"),
    ],
    ids=["nothing", "no message", "no checkpoint"],
)
def test_the_process_refuses_what_is_no_request_in_one_line(given: bytes, said: str):
    done = subprocess.run(
        [sys.executable, "-m", "launcher.train.after"], input=given, capture_output=True, timeout=120
    )
    (line,) = done.stdout.splitlines()
    assert decode(line, REPLIES) == WorkError(
        message=f"{said}; is it of another version of launcher?", exit_code=Exit.FAILED
    )
    assert (done.returncode, done.stderr) == (Exit.FAILED, b"")


def _python(folder: Path, *lines: str) -> list[str]:
    """The command of a process that replies with these lines."""
    program = folder / "python"
    program.write_text("#!/bin/sh\nread request\n" + "".join(f"{line}\n" for line in lines))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return [str(program)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["echo '{\"done\": 1}'"],
            "the worker process sent unknown kind of message None; known: WorkProgress, ",
        ),
        (["echo Killed"], r"the worker process sent not a line of JSON: b'Killed\\n'"),
        (["printf '{\"kind\"'", "kill -9 $$"], r"the worker process ended with -9 \(SIGKILL: out of memory"),
        (["echo 'no room' >&2", "exit 3"], "the worker process ended with 3: no room"),
        ([], "the worker process ended without a result"),
    ],
    ids=["unknown", "not JSON", "killed in a line", "exit code", "no result"],
)
def test_a_reply_that_the_command_does_not_understand_ends_it_with_one_line(
    tmp_path, lines: list[str], said: str
):
    with worker(REQUEST, _python(tmp_path, *lines)) as work, pytest.raises(WorkFailed, match=said) as caught:
        work.result(ClassifierScores, lambda _: None)
    assert caught.value.exit_code is Exit.FAILED


def test_progress_is_shown_and_the_result_is_of_the_kind_that_is_wanted(tmp_path):
    shown: list[WorkProgress] = []
    lines = [
        'echo \'{"kind": "WorkProgress", "what": "sorting", "done": 1, "total": 2}\'',
        'echo \'{"kind": "SortingDone", "rows": 2, "cut": 0}\'',
    ]
    with worker(REQUEST, _python(tmp_path, *lines), dict(os.environ)) as work:
        assert work.result(SortingDone, shown.append) == SortingDone(rows=2, cut=0)
    assert shown == [WorkProgress(what="sorting", done=1, total=2)]


def test_the_error_of_the_process_is_the_error_of_the_command(tmp_path):
    line = 'echo \'{"kind": "WorkError", "message": "no such run", "exit_code": 3}\''
    with (
        worker(REQUEST, _python(tmp_path, line)) as work,
        pytest.raises(WorkFailed, match="no such run") as caught,
    ):
        work.result(ClassifierScores, lambda _: None)
    assert caught.value.exit_code == 3
