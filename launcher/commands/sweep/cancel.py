"""python -m launcher sweep cancel [SWEEP]: end the trials that run, and begin no others."""

import json

from launcher.commands.sweep.options import chosen_sweep, sweep_parser
from launcher.errors import Exit
from launcher.sweep.cancel import cancel_sweep


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = sweep_parser(
        "cancel",
        "End the trials that run, and begin no others. What they have saved stays, and sweep resume goes on with them.",
        "python -m launcher sweep cancel tiny",
    )
    options = parser.parse_args(arguments)
    sweep = chosen_sweep(options)
    ended = cancel_sweep(sweep)
    said = f"told to end: {', '.join(ended)}" if ended else "nothing was left to cancel"
    told = f"{sweep.name}: {said}"
    print(json.dumps({"sweep": sweep.name, "cancelled": ended}) if options.json else told)
    return Exit.OK
