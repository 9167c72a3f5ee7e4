"""python -m launcher sweep status [SWEEP]: every trial with its values, its state and what it came to."""

from launcher.commands.sweep.options import chosen_sweep, sweep_parser
from launcher.errors import Exit
from launcher.output import as_json
from launcher.sweep.read import read_sweep
from launcher.sweep.view import ROWS, print_sweep, sweep_dict


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = sweep_parser(
        "status",
        "Every trial of a sweep: its values, its state, its objective, and of a failed one the first error.",
        "python -m launcher sweep status tiny --watch",
    )
    parser.add_argument(
        "--watch", action="store_true", help="keep the table up to date until no trial is left"
    )
    parser.add_argument("--all", action="store_true", help=f"every trial, and not the {ROWS} that tell most")
    options = parser.parse_args(arguments)
    sweep = chosen_sweep(options)
    if options.json:
        print(as_json(sweep_dict(sweep, read_sweep(sweep.path))))
    else:
        print_sweep(sweep, every=options.all, watch=options.watch)
    return Exit.OK
