"""python -m launcher cancel [RUN]: end a run's job."""

import argparse
from typing import TypedDict

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.errors import Exit
from launcher.launching.ending import cancel
from launcher.output import print_json, print_text
from launcher.run.owner import say_owner
from launcher.status.state import read_status


class CancelResult(TypedDict):
    """A run whose job was told to end."""

    run: str
    """name/date_time."""
    job_id: str
    """The scheduler's id of its job, or the process on this machine."""
    state: RunState
    """Its state now; a job needs a moment to end."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    run = chosen_run(options)
    say_owner(run)
    done = cancel(run)
    if options.json:
        result: CancelResult = {"run": run.name, "job_id": done.job_id, "state": read_status(run).state}
        print_json(result)
    elif done.was_over:
        print_text(f"{run.name} is {done.state}: there is nothing to cancel")
    else:
        print_text(f"{run.name}: job {done.job_id} was cancelled")
    return Exit.OK


VERB = Verb(
    line="end a run's job",
    about="Its checkpoints are kept.",
    example="cancel quickstart",
    add=_add,
    run=_run,
    prints=CancelResult,
    group="runs",
)
