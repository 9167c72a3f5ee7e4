"""python -m launcher list: all runs, newest last."""

import argparse

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, warn
from launcher.run import list_runs
from launcher.status.state import Status, read_statuses, split_readable


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    runs, faults = split_readable(list_runs(options.runs_dir.absolute()))
    for fault in faults:
        warn(f"{fault} The run is left out of the list.")
    statuses = read_statuses(runs)
    if options.json:
        print_json(statuses)
        return Exit.OK
    if not statuses:
        print(f"no runs under {options.runs_dir}")
        return Exit.OK
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "state", "step", "loss", "job", box=None, pad_edge=False)
    for status in statuses:
        step = "" if status.step is None else f"{status.step}/{status.total_steps}"
        loss = "" if status.loss is None else f"{status.loss:.4f}"
        table.add_row(status.run, status.state.value, step, loss, status.job_id or "")
    Console(soft_wrap=True).print(table)
    return Exit.OK


VERB = Verb(
    line="list all runs, newest last",
    example="list --json",
    run=_run,
    prints=list[Status],
    group="runs",
)
