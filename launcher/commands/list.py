"""python -m launcher list: all runs, newest last."""

import dataclasses

from launcher.commands.options import make_parser
from launcher.errors import Exit
from launcher.output import as_json
from launcher.run import list_runs
from launcher.status.state import read_statuses


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = make_parser("list", "List all runs, newest last.", "python -m launcher list --json")
    options = parser.parse_args(arguments)
    statuses = read_statuses(list_runs(options.runs_dir.absolute()))
    if options.json:
        told = [{**dataclasses.asdict(status), "state": status.state.value} for status in statuses]
        print(as_json(told))
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
