"""The folders under runs_dir: run dirs, trials of sweeps, and records of runs that were launched by ssh.

os is used instead of pathlib: under 10,000 runs, a Path for each folder and file takes most of the time of a list.
"""

import os
from typing import NamedTuple

REMOTE = "remote.json"
"""A folder with this file stands for a run on a cluster that is reached by ssh; what `fetch` brought lies beside it."""


class Found(NamedTuple):
    """A folder that holds a plan or a record."""

    written_ns: int
    """When its plan or record was written."""
    name: str
    folder: str


def scan(runs_dir: str) -> tuple[list[Found], list[Found]]:
    """(run dirs of this machine, folders with a record), oldest first. A run dir holds no other run."""
    here: list[Found] = []
    there: list[Found] = []
    for folder in (folder for name in _inside(runs_dir) for folder in _inside(name)):
        if record := _with_file(folder, REMOTE):
            there.append(record)
        elif run := _with_file(folder, "plan.json"):
            here.append(run)
        else:
            trials = _inside(folder)
            there += [trial for path in trials if (trial := _with_file(path, REMOTE))]
            here += [trial for path in trials if (trial := _with_file(path, "plan.json"))]
    return sorted(here), sorted(there)


def _inside(folder: str) -> list[str]:
    """The paths of what a folder holds; empty for anything else."""
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]  # noqa: PTH208
    except OSError:
        return []


def _with_file(folder: str, file: str) -> Found | None:
    """The folder, if it holds that file."""
    try:
        written_ns = os.stat(f"{folder}/{file}").st_mtime_ns  # noqa: PTH116
    except OSError:
        return None
    return Found(written_ns, folder.rpartition("/")[2], folder)
