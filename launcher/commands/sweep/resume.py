"""python -m launcher sweep resume [SWEEP]: continue trials that were not started, were cancelled, or failed."""

import argparse

from launcher.cli.parser import add_trust
from launcher.cli.sweep import add_sweep, finish, teller, trusted_sweep
from launcher.cli.verb import Verb
from launcher.sweep.printed import SweepResumed
from launcher.sweep.resume_sweep import resume_sweep


def _add(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_trust(parser)
    parser.add_argument("--only-failed", action="store_true", help="only trials that failed")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    tell = teller(options.json)
    return finish(resume_sweep(trusted_sweep(options), tell, only_failed=options.only_failed), options.json)


VERB = Verb(
    line="continue trials that were not started, were cancelled, failed, or lost their worker",
    about="Each resumes from its newest checkpoint. A sampler's workers continue until the budget is used up.",
    example="sweep resume tiny --only-failed",
    add=_add,
    run=_run,
    prints=SweepResumed,
)
