"""sbatch, squeue and scancel as programs on PATH: jobs wait in a queue that is a folder, and nothing runs.

A file `refuse` in it is what sbatch says in place of queueing a job, and a file `silent` lets squeue and scancel fail.
"""

import fcntl
import os
import random
import sys
import time
from pathlib import Path

PROGRAMS = ("sbatch", "squeue", "scancel")


def write_programs(folder: Path) -> Path:
    """The folder of the programs; the queue is beside it."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (folder / "queue").mkdir()
    for name in PROGRAMS:
        path = programs / name
        path.write_text(
            f'#!/bin/sh\nexec {sys.executable} -S {Path(__file__).resolve()} {name} {folder / "queue"} "$@"\n'
        )
        path.chmod(0o755)
    return programs


def scripts_of(folder: Path) -> list[str]:
    """The job script of each sbatch that was accepted, oldest first."""
    return [path.read_text() for path in sorted((folder / "queue").glob("*.job"))]


def options_of(folder: Path, number: str) -> list[str]:
    """The options with which a job was submitted."""
    return (folder / "queue" / f"{int(number):06}.options").read_text().split()


def end(folder: Path, number: str, state: str) -> None:
    """Gives a job that state, such as FAILED or RUNNING."""
    (folder / "queue" / f"{int(number):06}.state").write_text(state)


def state_of(folder: Path, number: str) -> str:
    """The state that squeue shows of a job."""
    return _state(folder / "queue" / f"{int(number):06}.job")


def _state(job: Path) -> str:
    if job.with_suffix(".cancelled").exists():
        return "CANCELLED"
    given = job.with_suffix(".state")
    return given.read_text() if given.exists() else "PENDING"


def _submit(queue: Path, words: list[str]) -> None:
    """As a real controller, it takes a moment before and after the job is queued; a kill can come in either."""
    if "--test-only" in words:
        return
    if (queue / "refuse").exists():
        sys.exit((queue / "refuse").read_text())
    time.sleep(random.random() * 0.05)
    with (queue / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        number = 1 + len(list(queue.glob("*.job")))
        (queue / f"{number:06}.options").write_text(" ".join(words[:-1]))
        (queue / f"{number:06}.job").write_text(words[-1])
    time.sleep(random.random() * 0.05)
    print(number)


def _show(queue: Path, words: list[str]) -> None:
    form = next(word.partition("=")[2] for word in words if word.startswith("--format="))
    wanted = words[words.index("--jobs") + 1].split(",") if "--jobs" in words else None
    if (queue / "silent").exists():
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    for path in sorted(queue.glob("*.job")):
        number, state = str(int(path.stem)), _state(path)
        if (wanted is None and state not in ("PENDING", "RUNNING")) or (
            wanted is not None and number not in wanted
        ):
            continue
        folder = str(Path(path.read_text()).parent)
        values = {
            "%F": number,
            "%A": number,
            "%Z": folder,
            "%k": "",
            "%T": state,
            "%r": "Priority",
            "%S": "N/A",
            "%e": "N/A",
        }
        print("|".join(values[one] for one in form.split("|")))


def _cancel(queue: Path, words: list[str]) -> None:
    if (queue / "silent").exists():
        sys.exit("scancel: error: Unable to contact slurm controller (connect failure)")
    (queue / f"{int(words[-1]):06}.cancelled").touch()


if __name__ == "__main__":
    os.environ.clear()
    {"sbatch": _submit, "squeue": _show, "scancel": _cancel}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:])
