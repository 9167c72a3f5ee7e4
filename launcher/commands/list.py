"""python -m launcher list: all runs that were submitted, newest last; --planned lists the dry runs."""

import argparse

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import columns, print_json, warn
from launcher.run import list_runs
from launcher.status.learning import damaged_lines
from launcher.status.state import Status, read_statuses, split_readable
from launcher.units import plural


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--planned", action="store_true", help="list the dry runs, which were never submitted"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    every = list_runs(options.runs_dir.absolute())
    listed = [run for run in every if run.submitted is not options.planned]
    runs, faults = split_readable(listed)
    for fault in faults:
        warn(f"{fault} The run is left out of the list.")
    statuses = read_statuses(runs)
    if options.json:
        print_json(statuses)
        return Exit.OK
    hidden = len(every) - len(listed)
    if not statuses:
        print(
            f"no {'dry runs' if options.planned else 'runs'} under {options.runs_dir}{_others(hidden, options.planned)}"
        )
        return Exit.OK
    rows = [
        (
            status.run,
            status.state.value,
            "" if status.step is None else f"{status.step}/{status.total_steps}",
            "" if status.loss is None else f"{status.loss:.4f}",
            status.job_id or "",
        )
        for status in statuses
    ]
    print(columns(("run", "state", "step", "loss", "job"), rows))
    for status in statuses:
        for line in damaged_lines(status.damaged):
            print(f"{status.run}: {line}")
    if hidden and not options.planned:
        print(_others(hidden, planned=False).strip(" ;"))
    return Exit.OK


def _others(count: int, planned: bool) -> str:
    """What is not listed; empty if everything is."""
    if not count:
        return ""
    if planned:
        return f"; {plural(count, 'run')} that {'was' if count == 1 else 'were'} submitted: python -m launcher list"
    return f"; {plural(count, 'dry run')}: python -m launcher list --planned"


VERB = Verb(
    line="list all runs that were submitted, newest last",
    about="A dry run is listed with --planned, and python -m launcher remove deletes it.",
    example="list --json",
    add=_add,
    run=_run,
    prints=list[Status],
    group="runs",
)
