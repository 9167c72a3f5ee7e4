"""python -m launcher cancel [RUN]: end a run's job."""

import argparse
import json

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.launching.cancel import cancel
from launcher.status.state import read_status


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    run = chosen_run(options)
    done = cancel(run)
    if options.json:
        print(json.dumps({"run": run.name, "job_id": done.job_id, "state": read_status(run).state.value}))
    elif done.was_over:
        print(f"{run.name} is {done.state}: there is nothing to cancel")
    else:
        print(f"{run.name}: job {done.job_id} was cancelled")
    return Exit.OK


VERB = Verb(
    line="end a run's job",
    about="Its checkpoints are kept.",
    example="cancel quickstart",
    add=_add,
    run=_run,
    group="runs",
)
