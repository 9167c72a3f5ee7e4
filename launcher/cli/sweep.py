"""The argument SWEEP of the sweep verbs."""

import argparse

from launcher.sweep.folder import SweepDir, find_sweep


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Adds the argument SWEEP."""
    parser.add_argument(
        "sweep",
        nargs="?",
        metavar="SWEEP",
        help="a sweep's folder, name/sweep_date_time or a name; default: the newest sweep",
    )


def chosen_sweep(options: argparse.Namespace) -> SweepDir:
    """The chosen sweep; RunError if there is none."""
    return find_sweep(options.runs_dir.absolute(), options.sweep)
