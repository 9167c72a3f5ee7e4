"""What the verbs of sweeps share: the argument SWEEP, what they print, and trials that run on this machine."""

import argparse
from pathlib import Path

from launcher.cli.launched import answer
from launcher.errors import Exit
from launcher.output import print_json, print_text, say
from launcher.sweep.folder import SweepDir, find_sweep
from launcher.sweep.result import SweepResult, Tell


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


def trusted_sweep(options: argparse.Namespace) -> SweepDir:
    """The chosen sweep, for a verb that imports its code; RunError for another user's sweep unless --trust-run is given."""
    from launcher.run.owner import check_places

    sweep = chosen_sweep(options)
    work_dir = sweep.read_spec().get("work_dir")
    check_places(
        [sweep.path, sweep.spec, *([Path(work_dir)] if isinstance(work_dir, str) else [])], options.trust_run
    )
    return sweep


def teller(as_json: bool) -> Tell:
    """A function that prints the result of a verb for sweeps."""

    def tell(result: SweepResult) -> None:
        for note in result.notes:
            say(note)
        if as_json:
            print_json(result.report())
        else:
            print_text(result.text(), flush=True)
        answer(result.report())

    return tell


def finish(result: SweepResult, as_json: bool) -> int:
    """The exit code: 0 if the trials are queued or written; if they run here, theirs, once they have ended."""
    if not result.here:
        return Exit.OK
    from launcher.sweep.local import run_here

    return run_here(result.sweep, quiet=as_json)
