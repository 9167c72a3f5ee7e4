"""python -m launcher sweep cancel [SWEEP]: end the running trials, and start no others."""

import argparse
import json

from launcher.cli.sweep import add_sweep, chosen_sweep
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.sweep.cancel import cancel_sweep


def _add(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    sweep = chosen_sweep(options)
    ended = cancel_sweep(sweep)
    outcome = f"cancelled: {', '.join(ended)}" if ended else "nothing was left to cancel"
    text = f"{sweep.name}: {outcome}"
    print(json.dumps({"sweep": sweep.name, "cancelled": ended}) if options.json else text)
    return Exit.OK


VERB = Verb(
    line="end the running trials, and start no others",
    about="Their checkpoints are kept, and `sweep resume` continues them.",
    example="sweep cancel tiny",
    add=_add,
    run=_run,
)
