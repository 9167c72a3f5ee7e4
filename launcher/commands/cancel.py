"""python -m launcher cancel [RUN]: end a run's job."""

import json

from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import Exit
from launcher.launching.cancel import cancel
from launcher.status.state import read_status


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = make_parser(
        "cancel", "End a run's job. What it has saved stays.", "python -m launcher cancel quickstart"
    )
    add_run(parser)
    options = parser.parse_args(arguments)
    run = chosen_run(options)
    done = cancel(run)
    if options.json:
        print(json.dumps({"run": run.name, "job_id": done.job_id, "state": read_status(run).state.value}))
    elif done.was_over:
        print(f"{run.name} is {done.state}: there is nothing to cancel")
    else:
        print(f"{run.name}: job {done.job_id} was told to end")
    return Exit.OK
