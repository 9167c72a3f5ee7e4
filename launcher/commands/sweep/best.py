"""python -m launcher sweep best [SWEEP]: the best trial as an experiment file that runs."""

import json

from launcher.commands.sweep.options import chosen_sweep, sweep_parser
from launcher.errors import Exit
from launcher.sweep.best import write_best


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = sweep_parser(
        "best",
        "Write the best finished trial as an experiment file, with every value it had, and show the command that runs it.",
        "python -m launcher sweep best tiny",
    )
    options = parser.parse_args(arguments)
    best = write_best(chosen_sweep(options))
    if options.json:
        told = {
            "sweep": best.sweep.name, "trial": best.trial.number, "value": best.trial.value,
            "overrides": best.trial.overrides, "experiment": str(best.path), "command": best.command,
        }  # fmt: skip
        print(json.dumps(told))
        return Exit.OK
    values = " ".join(f"{key}={value}" for key, value in best.trial.overrides.items())
    print(f"trial       {best.trial.number}: {values}")
    print(f"{best.sweep.objective:<11} {best.trial.value}")
    print(f"experiment  {best.path}")
    print(f"run it      {best.command}")
    return Exit.OK
