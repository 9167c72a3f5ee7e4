"""python -m launcher sweep status [SWEEP]: every trial with its values, its state and its outcome."""

import argparse
import time

from launcher.cli.sweep import add_sweep, chosen_sweep
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, print_table, wide_console
from launcher.sweep.folder import SweepDir
from launcher.sweep.printed import SweepState
from launcher.sweep.read import Sweep, read_sweep
from launcher.sweep.view import ROWS, is_over, sweep_dict, view

_EVERY_S = 2.0


def _add(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("--watch", action="store_true", help="update the table until no trial is left")
    parser.add_argument(
        "--all", action="store_true", help=f"show every trial, not only the {ROWS} most informative"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    sweep = chosen_sweep(options)
    if options.json:
        print_json(sweep_dict(sweep, read_sweep(sweep.path)))
    else:
        _show(sweep, every=options.all, watch=options.watch)
    return Exit.OK


def _show(sweep: SweepDir, *, every: bool, watch: bool) -> None:
    """Prints the table; with `watch`, keeps it up to date until no trial is left."""
    if not watch:
        print_table(view(read_sweep(sweep.path), every=every))
        return
    from rich.live import Live

    with Live(console=wide_console(), auto_refresh=False) as live:
        while True:
            now = read_sweep(sweep.path)
            live.update(view(now, every=every), refresh=True)
            if is_over(sweep, now):
                return
            time.sleep(_EVERY_S)


VERB = Verb(
    line="show every trial of a sweep: values, state, objective, and the first error of a failed one",
    example="sweep status tiny --watch",
    add=_add,
    run=_run,
    prints=(Sweep, SweepState),
)
