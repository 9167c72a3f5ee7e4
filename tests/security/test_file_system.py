"""A supervisor whose run dir does not answer for a while."""

import json
import subprocess
import sys
import threading
import time

from launcher.run import append_line, read_lines
from launcher.run.events.supervisor import Finished, Started
from launcher.supervise.steady import SteadyRun


def test_events_wait_in_memory_while_they_cannot_be_written(tmp_path, capfd):
    run = SteadyRun(tmp_path)
    run.events.mkdir()  # as EIO: every write fails
    run.note(Started(attempt=1, job_id="7", host="n1"))
    run.note(Started(attempt=2, job_id="7", host="n1"))
    assert capfd.readouterr().err.count("events wait in memory") == 1
    run.events.rmdir()
    run.note(Finished(attempt=2))
    lines = [json.loads(line) for line in run.events.read_text().splitlines()]
    assert [(line["event"], line["attempt"]) for line in lines] == [
        ("started", 1),
        ("started", 2),
        ("finished", 2),
    ]
    assert "can be written again" in capfd.readouterr().err


def test_a_read_waits_for_the_file_system_and_sees_what_waited(tmp_path):
    run = SteadyRun(tmp_path)
    run.events.symlink_to("events.jsonl")  # a loop: neither to be read nor written
    run.note(Started(attempt=1, job_id="7", host="n1"))

    def mend() -> None:
        time.sleep(0.2)
        run.events.unlink()

    mending = threading.Thread(target=mend)
    mending.start()
    assert [event.attempt for event in run.read_events(Started)] == [1]
    mending.join()


def test_a_line_of_which_the_disk_takes_a_part_is_an_error_and_not_lost_in_silence(tmp_path):
    """A limit on the size of files does what a disk that fills does: the first write is short, the next one fails."""
    path = tmp_path / "events.jsonl"
    append_line(path, {"event": "first"})
    code = (
        "import resource, sys; from pathlib import Path; from launcher.run import append_line\n"
        f"path = Path({str(path)!r}); most = path.stat().st_size + 10\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "try: append_line(path, {'event': 'second', 'text': 'x' * 100})\n"
        "except OSError as error: print(error.filename)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}\n"
    append_line(path, {"event": "third"})
    assert [line["event"] for line in read_lines(path)] == ["first", "third"]
