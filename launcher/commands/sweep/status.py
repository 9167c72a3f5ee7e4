"""python -m launcher sweep status [SWEEP]: every trial with its values, its state and its outcome."""

import argparse

from launcher.cli.sweep import add_sweep, chosen_sweep
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import as_json
from launcher.sweep.read import read_sweep
from launcher.sweep.view import ROWS, print_sweep, sweep_dict


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
        print(as_json(sweep_dict(sweep, read_sweep(sweep.path))))
    else:
        print_sweep(sweep, every=options.all, watch=options.watch)
    return Exit.OK


VERB = Verb(
    line="show every trial of a sweep: values, state, objective, and the first error of a failed one",
    example="sweep status tiny --watch",
    add=_add,
    run=_run,
)
