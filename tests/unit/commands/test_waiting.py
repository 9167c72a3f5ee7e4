"""Why a queued run waits, and the exit code of following a run to its end."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.errors import Exit
from launcher.run.events.supervisor import Finished, Pruned, Started, Stopped
from launcher.status.state import read_status
from launcher.status.waiting import read_waiting
from tests.unit.commands.test_status import NO_PROCESS, make_run


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Puts a squeue on PATH that says these words about job 7."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def queue(state: str, reason: str, starts: str) -> None:
        said = "".join(
            f"*{field}*) echo '7|{word}';;\n"
            for field, word in (("%T", state), ("%r", reason), ("%S", starts))
        )
        for name, lines in (("squeue", f'case "$*" in\n{said}esac'), ("sbatch", "true"), ("sacct", "true")):
            (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.chdir(tmp_path)

    return queue


@pytest.mark.parametrize(
    ("words", "reason", "shown"),
    [
        (("PENDING", "(Priority)", "2999-01-02T10:00:00"), "Priority", "Priority; expected to start 2999-01-02 10:00 (in "),
        (("PENDING", "Resources", "N/A"), "Resources", "Resources; no expected start is known"),
        (("PENDING", "None", "2999-01-02T10:00:00"), None, "the scheduler gives no reason; expected to start 2999"),
    ],
)  # fmt: skip
def test_status_says_why_a_job_waits_and_when_it_is_expected_to_start(
    tmp_path, queue, capfd, words, reason, shown
):
    queue(*words)
    make_run(tmp_path, "planned", "submitted", cluster="slurm", job_id="7")
    assert main(["status"]) == 0
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("waits")]
    assert line.split(maxsplit=1)[1].startswith(shown)
    assert main(["status", "--json"]) == 0
    waiting = json.loads(capfd.readouterr().out)["waiting"]
    assert waiting["reason"] == reason and (waiting["starts"] is None) is (words[2] == "N/A")


@pytest.mark.parametrize("words", [("RUNNING", "None", "N/A"), ("PENDING", "None", "N/A"), ("", "", "")])
def test_nothing_is_made_up_about_a_job_of_which_the_queue_says_nothing(tmp_path, queue, words):
    queue(*words)
    run = make_run(tmp_path, "planned", "submitted", cluster="slurm", job_id="7")
    assert read_waiting(run, read_status(run)) is None


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (Finished(attempt=1), Exit.OK),
        (Stopped(attempt=1, exit_code=10, reason="the loss is NaN"), Exit.DIVERGED),
        (Stopped(attempt=1, exit_code=3, reason="a fault"), Exit.FAILED),
        (Stopped(attempt=1, exit_code=143, reason="terminated"), Exit.TERMINATED),
        (Stopped(attempt=1, reason="no code"), Exit.FAILED),
        (Pruned(attempt=1), Exit.PRUNED),
        (None, Exit.FAILED),
    ],
)
def test_follow_has_the_exit_code_of_the_run(tmp_path, monkeypatch, end, code):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path, "planned", "submitted", cluster="local", job_id=NO_PROCESS)
    run.note(Started(attempt=1))
    if end is not None:
        run.note(end)
    assert main(["follow", "--json"]) == code


def test_a_dry_run_cannot_be_followed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path, "planned")
    assert main(["follow"]) == Exit.REFUSED
    assert "was only planned (a dry run)" in capfd.readouterr().err
