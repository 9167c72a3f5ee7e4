"""python -m launcher sweep work SWEEP: take trials and run each to its end. Each task of a sweep's array runs this."""

import argparse
from pathlib import Path

from launcher.cli.verb import NOTHING, Verb
from launcher.errors import RunError
from launcher.sweep.folder import SweepDir
from launcher.sweep.work import Work


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="SWEEP", help="the sweep's folder")
    parser.add_argument("--first", type=int, default=0, help="the trial of array index 0")


def _run(options: argparse.Namespace) -> int:
    """The exit code of the task."""
    sweep = SweepDir(options.folder.resolve())
    if not sweep.spec.is_file():
        raise RunError(
            f"{options.folder} is not the folder of a sweep: it has no {sweep.spec.name}; give one such as "
            "runs/NAME/sweep_DATE_TIME, as python -m launcher sweep status shows it"
        )
    return Work(sweep, options.first).all()


VERB = Verb(
    line="take trials of a sweep and train them; each task of its array runs this",
    about="Submit job.sbatch in the sweep's folder to start such tasks by hand.",
    example="sweep work runs/tiny/sweep_2026-11-25_08-00-00",
    add=_add,
    run=_run,
    prints=NOTHING,
    runs_dir=False,
)
