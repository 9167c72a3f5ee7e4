"""python -m launcher logs [-f] [RUN]: what the ranks and the supervisor printed in the last attempt."""

import json
import sys
import time

from launcher.clusters.base import RunState
from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import Exit
from launcher.status.logs import LogPrinter, log_files
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
        print(f"{run.name} has no logs yet: it is {read_status(run).state.value}", file=sys.stderr)
    return Exit.OK
