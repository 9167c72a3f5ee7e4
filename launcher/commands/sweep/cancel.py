"""python -m launcher sweep cancel [SWEEP]: end the running trials, and start no others."""

import argparse

from launcher.cli.sweep import add_sweep, chosen_sweep
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, print_text
from launcher.sweep.ending import cancel_sweep
from launcher.sweep.printed import SweepCancelled


def _add(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    sweep = chosen_sweep(options)
    ended = cancel_sweep(sweep)
    if options.json:
        result: SweepCancelled = {"sweep": sweep.name, "cancelled": ended}
        print_json(result)
    else:
        outcome = f"cancelled: {', '.join(ended)}" if ended else "nothing was left to cancel"
        print_text(f"{sweep.name}: {outcome}")
    return Exit.OK


VERB = Verb(
    line="end the running trials, and start no others",
    about="Their checkpoints are kept, and `sweep resume` continues them.",
    example="sweep cancel tiny",
    add=_add,
    run=_run,
    prints=SweepCancelled,
)
