"""python -m launcher logs [-f] [RUN]: what the ranks and the supervisor printed in the last attempt."""

import json
import sys
import time
from pathlib import Path
from typing import BinaryIO

from launcher.clusters.base import RunState
from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import Exit
from launcher.run import RunDir, job_number
from launcher.run.events.launching import Cancelled, Submitted
from launcher.run.events.supervisor import Started
from launcher.status.state import is_over, read_status

_POLL_S = 0.5
_STATE_EVERY_S = 10.0


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = make_parser(
        "logs",
        "Print a run's logs: the last attempt's, a file per node.",
        "python -m launcher logs -f quickstart",
    )
    add_run(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing until the run is over")
    options = parser.parse_args(arguments)
    run = chosen_run(options)
    if options.json:
        print(json.dumps({"run": run.name, "files": [str(path) for path in log_files(run)]}))
        return Exit.OK
    printer = _Printer()
    printer.print_new(log_files(run))
    checked = 0.0
    while options.follow:
        if time.monotonic() - checked > _STATE_EVERY_S:
            state, checked = read_status(run).state, time.monotonic()
            if is_over(state) or state is RunState.PLANNED:
                printer.print_new(log_files(run))
                break
        time.sleep(_POLL_S)
        printer.print_new(log_files(run))
    if not printer.printed:
        print(f"{run.name} has no logs yet: it is {read_status(run).state.value}", file=sys.stderr)
    return Exit.OK


def log_files(run: RunDir) -> list[Path]:
    """The supervisor's and Slurm's own logs, then those of the last job's node agents and of the last attempt's ranks."""
    if not run.logs.is_dir():
        return []
    # The agents' folder is JOB and that of ranks JOB_ATTEMPT; JOB itself is ARRAY_INDEX where it is a task of an array.
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
    found = sorted(run.logs.glob("*.log"))
    for folder in (agents, last):
        found += sorted(folder.glob("*.log")) if folder else []
    return found


class _Printer:
    """Prints what was added to files, under the name of each."""

    def __init__(self) -> None:
        self.files: dict[Path, BinaryIO] = {}
        self.current: Path | None = None
        self.printed = False

    def print_new(self, paths: list[Path]) -> None:
        for path in paths:
            file = self.files.get(path) or self.files.setdefault(path, path.open("rb"))
            new = file.read()
            if not new:
                continue
            if self.current != path:
                sys.stdout.write(f"==> {path.parent.name}/{path.name} <==\n")
            self.current, self.printed = path, True
            sys.stdout.write(new.decode(errors="replace"))
            sys.stdout.flush()
