"""python -m launcher sweep work SWEEP: take trials and carry each to its end. What the tasks of a sweep's array are."""

import argparse
from pathlib import Path

from launcher.cli.verb import Verb
from launcher.sweep.folder import SweepDir
from launcher.sweep.work import Work


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="SWEEP", help="the sweep's folder")
    parser.add_argument("--first", type=int, default=0, help="the trial of array index 0")


def _run(options: argparse.Namespace) -> int:
    """The exit code of the task."""
    return Work(SweepDir(options.folder.resolve()), options.first).all()


VERB = Verb(
    line="take trials of a sweep and train them: what each task of its array does",
    about="Submitting job.sbatch in the sweep's folder starts such tasks by hand.",
    example="sweep work runs/tiny/sweep_2026-11-25_08-00-00",
    add=_add,
    run=_run,
    runs_dir=False,
)
