"""python -m launcher sweep resume [SWEEP]: go on with trials that were not begun, were cancelled, or failed."""

import argparse

from launcher.cli.sweep import add_sweep, chosen_sweep, finish, teller
from launcher.cli.verb import Verb
from launcher.sweep.resume import resume_sweep


def _add(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("--only-failed", action="store_true", help="only trials that failed")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    tell = teller(options.json)
    return finish(resume_sweep(chosen_sweep(options), tell, only_failed=options.only_failed), options.json)


VERB = Verb(
    line="go on with trials that were not begun, were cancelled, failed, or lost their worker",
    about="Each goes on from its newest checkpoint. A sampler's workers go on until the budget is spent.",
    example="sweep resume tiny --only-failed",
    add=_add,
    run=_run,
)
