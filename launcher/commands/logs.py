"""python -m launcher logs [-f] [RUN]: the output of the ranks and the supervisor in the last attempt."""

import argparse
import sys
import time
from typing import TypedDict

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.errors import Exit
from launcher.output import print_json, print_text
from launcher.status.logs import LogPrinter, log_files
from launcher.status.state import is_over, read_status

_POLL_S = 0.5
_STATE_EVERY_S = 10.0


class LogFiles(TypedDict):
    """The log files of a run's last attempt."""

    run: str
    """name/date_time."""
    files: list[str]
    """Absolute paths, one per node, and the supervisor's."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="continue printing until the run is over")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    run = chosen_run(options)
    if options.json:
        result: LogFiles = {"run": run.name, "files": [str(path) for path in log_files(run)]}
        print_json(result)
        return Exit.OK
    printer = LogPrinter()
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
        print_text(f"{run.name} has no logs yet: it is {read_status(run).state.value}", file=sys.stderr)
    return Exit.OK


VERB = Verb(
    line="print a run's logs: those of the last attempt, one file per node",
    example="logs -f quickstart",
    add=_add,
    run=_run,
    prints=LogFiles,
    group="runs",
)
