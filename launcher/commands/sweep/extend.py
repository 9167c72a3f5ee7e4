"""python -m launcher sweep extend SWEEP key=value,...: more values of a grid, or more budget."""

import argparse

from launcher.cli.parser import add_trust
from launcher.cli.sweep import add_sweep, finish, teller, trusted_sweep
from launcher.cli.verb import Verb
from launcher.sweep.extend import extend_sweep
from launcher.sweep.printed import SweepExtended


def _add(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_trust(parser)
    parser.add_argument("more", nargs="+", metavar="key=value", help="in Hydra's sweep syntax")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    return finish(extend_sweep(trusted_sweep(options), options.more, teller(options.json)), options.json)


VERB = Verb(
    line="add values to a grid, or raise the budget",
    about="Every new combination becomes a trial. The keys of a budget are sweep.trials, "
    "sweep.gpu_hours and sweep.deadline; trials of a grid that exceeded the old budget can run again.",
    example="sweep extend tiny 'trainer.learning_rate=3e-4,1e-3'",
    add=_add,
    run=_run,
    prints=SweepExtended,
)
