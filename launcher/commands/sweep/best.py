"""python -m launcher sweep best [SWEEP]: the best trial as an experiment file that runs."""

import argparse

from launcher.cli.sweep import add_sweep, chosen_sweep
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, print_text
from launcher.sweep.best import write_best
from launcher.sweep.printed import BestTrial


def _add(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    best = write_best(chosen_sweep(options))
    if options.json:
        result: BestTrial = {
            "sweep": best.sweep.name, "trial": best.trial.number, "value": best.trial.value,
            "overrides": best.trial.overrides, "experiment": str(best.path), "command": best.command,
        }  # fmt: skip
        print_json(result)
        return Exit.OK
    values = " ".join(f"{key}={value}" for key, value in best.trial.overrides.items())
    print_text(f"trial       {best.trial.number}: {values}")
    print_text(f"{best.sweep.objective:<11} {best.trial.value}")
    print_text(f"experiment  {best.path}")
    print_text(f"run it      {best.command}")
    return Exit.OK


VERB = Verb(
    line="write the best finished trial as an experiment file, and show the command that runs it",
    about="The file has every value that the trial had.",
    example="sweep best tiny",
    add=_add,
    run=_run,
    prints=BestTrial,
)
