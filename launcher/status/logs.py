"""The log files of a run's ranks and supervisor, and their new lines."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from launcher.clusters.registry import find_cluster
from launcher.output import visible
from launcher.run import RunDir, job_number
from launcher.run.events.launching import Cancelled, Submitted
from launcher.run.events.supervisor import Started

_PIECE = 1 << 20
"""Bytes of lines that are read at once."""


def log_files(run: RunDir) -> list[Path]:
    """The supervisor's and the scheduler's logs, then those of the last job's node agents and of the last attempt's ranks."""
    if not run.logs.is_dir():
        return []
    # The agents' folder is JOB and that of ranks JOB_ATTEMPT; JOB itself is ARRAY_INDEX for a task of an array.
    noted = run.read_events(Submitted, Started, Cancelled)
    known = {job_number(event.job_id) for event in noted if event.job_id}
    folders = [path for path in run.logs.iterdir() if path.is_dir()]
    jobs = [path for path in folders if path.name in known or "_" not in path.name]
    attempts = [path for path in folders if path not in jobs]
    last = max(attempts, key=lambda path: int(path.name.rpartition("_")[2]), default=None)
    agents = (
        run.logs / last.name.rpartition("_")[0]
        if last
        else max(jobs, key=lambda path: path.stat().st_mtime, default=None)
    )
    named = _named(run, [event.job_id for event in noted if event.job_id])
    found = list(dict.fromkeys([*named, *sorted(run.logs.glob("*.log"))]))
    for folder in (agents, last):
        found += sorted(folder.glob("*.log")) if folder else []
    return found


def _named(run: RunDir, job_ids: Sequence[str]) -> list[Path]:
    """The scheduler's files that have a name of their own, by cluster.sbatch.output and error."""
    plan = run.read_json(run.plan) if run.plan.is_file() else {}
    if not plan.get("job_options"):
        return []
    patterns = find_cluster(str(plan["cluster"])).log_patterns(plan["job_options"], job_ids)
    return [
        path
        for one in patterns
        for path in sorted((Path("/") if one.startswith("/") else run.path).glob(one.lstrip("/")))
    ]


class LogPrinter:
    """Prints the new lines of files, under the name of each."""

    def __init__(self) -> None:
        self.files: dict[Path, BinaryIO] = {}
        self.current: Path | None = None
        self.printed = False

    def print_new(self, paths: list[Path]) -> None:
        """Prints the lines that were added since the last call."""
        for path in paths:
            if path not in self.files and not path.is_file():
                continue  # a pipe or a device, which could be read forever
            file = self.files.get(path) or self.files.setdefault(path, path.open("rb"))
            while new := file.readlines(_PIECE):
                if self.current != path:
                    sys.stdout.write(visible(f"==> {path.parent.name}/{path.name} <==") + "\n")
                self.current, self.printed = path, True
                # a progress bar's carriage return is harmless
                text = b"".join(new).decode(errors="replace")
                sys.stdout.write("\r".join(map(visible, text.split("\r"))))
                sys.stdout.flush()
