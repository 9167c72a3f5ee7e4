"""python -m launcher sweep work SWEEP: take trials and carry each to its end. What the tasks of a sweep's array are."""

import argparse
from pathlib import Path

from launcher.sweep.folder import SweepDir
from launcher.sweep.work import Work


def main(arguments: list[str]) -> int:
    """The exit code of the task."""
    parser = argparse.ArgumentParser(
        prog="python -m launcher sweep work",
        description="Take trials of a sweep and train them: what each task of its array is. `sbatch job.sbatch` in the sweep's "
        "folder starts such tasks by hand.",
        epilog="example: python -m launcher sweep work runs/tiny/sweep_2026-11-25_08-00-00",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, metavar="SWEEP", help="the sweep's folder")
    parser.add_argument("--first", type=int, default=0, help="the trial of array index 0")
    options = parser.parse_args(arguments)
    return Work(SweepDir(options.folder.resolve()), options.first).all()
