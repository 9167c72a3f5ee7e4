"""python -m launcher sweep status|best|resume|extend|cancel|work SWEEP."""

import importlib

from launcher.errors import Exit, UsageError, unknown

HELP = """usage: python -m launcher sweep status|best|resume|extend|cancel|work [SWEEP] [--json]

status   a table of all trials; --watch keeps it up to date
best     the best trial as an experiment file that runs
resume   go on with what was not begun, cancelled or failed; --only-failed leaves the rest alone
extend   more values, or more budget: python -m launcher sweep extend SWEEP 'trainer.learning_rate=3e-4,1e-3'
cancel   end the trials that run and begin no others
work     take trials and train them: what the tasks of a sweep's array do

SWEEP is a sweep's folder, name/sweep_date_time or a name (its newest sweep); none is the newest. A sweep starts with -m:
example: python -m launcher -m +experiment=llama8b_lora 'trainer.learning_rate=1e-5,3e-5,1e-4' 'plugins.lora.r=8,16,32'
         python -m launcher sweep status --watch
"""
_VERBS = ("status", "best", "resume", "extend", "cancel", "work")


def main(arguments: list[str]) -> int:
    """The exit code."""
    if not arguments or arguments[0] in ("--help", "-h"):
        print(HELP, end="")
        return Exit.OK if arguments else Exit.USAGE
    action, *rest = arguments
    if action not in _VERBS:
        raise UsageError(f"{unknown('sweep command', action, _VERBS)} See python -m launcher sweep --help.")
    module = importlib.import_module(f"launcher.commands.sweep.{action}")
    return module.main(rest)
