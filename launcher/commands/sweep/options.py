"""What the sweep commands have in common."""

import argparse

from launcher.commands.options import make_parser
from launcher.sweep.folder import SweepDir, find_sweep


def sweep_parser(verb: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with SWEEP, --runs-dir and --json."""
    parser = make_parser(f"sweep {verb}", description, example)
    parser.add_argument(
        "sweep",
        nargs="?",
        metavar="SWEEP",
        help="a sweep's folder, name/sweep_date_time or a name; default: the newest sweep",
    )
    return parser


def chosen_sweep(options: argparse.Namespace) -> SweepDir:
    """The sweep that was named; RunError where there is none."""
    return find_sweep(options.runs_dir.absolute(), options.sweep)
