"""python -m launcher cancel [RUN]: end a run's job, or the job that serves it."""

import argparse
from typing import TypedDict

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.errors import Exit
from launcher.launching.ending import CancelledJob, cancel, cancel_server
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
    server: bool
    """Whether the job is the one that served the run."""
    evaluations: list[str]
    """The jobs of evaluations on tasks (eval_job) that were cancelled too."""
    insurance: str | None
    """The job that waited in case that the run's job ends early (cluster.insurance), and was cancelled too; null for none."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--server",
        action="store_true",
        help="end the job that serves the run (serve --job), and not the run's own",
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    run = chosen_run(options)
    say_owner(run)
    done = cancel_server(run) if options.server else cancel(run)
    if options.json:
        result: CancelResult = {
            "run": run.name, "job_id": done.job_id, "state": read_status(run).state, "server": done.server,
            "evaluations": list(done.evaluations), "insurance": done.insurance,
        }  # fmt: skip
        print_json(result)
    elif done.server:
        print_text(
            f"{run.name}: the server's job {done.job_id} {'is over already' if done.was_over else 'was cancelled'}"
        )
    elif done.was_over and (done.evaluations or done.insurance):
        print_text(f"{run.name} is {done.state}; cancelled: {' and '.join(_others(done))}")
    elif done.was_over:
        print_text(f"{run.name} is {done.state}: there is nothing to cancel")
    elif done.shared:
        print_text(
            f"{run.name}: this trial ends; job {done.job_id} goes on with the other trials of its group"
        )
    else:
        more = f", with {' and '.join(_others(done))}" if _others(done) else ""
        print_text(f"{run.name}: job {done.job_id} was cancelled{more}")
    return Exit.OK


def _others(done: CancelledJob) -> list[str]:
    """The other jobs of the run that were cancelled."""
    evaluations = [f"its evaluations (job {', '.join(done.evaluations)})"] if done.evaluations else []
    return [*evaluations, *([f"its insurance (job {done.insurance})"] if done.insurance else [])]


VERB = Verb(
    line="end a run's job",
    about="Its checkpoints are kept. If the run is over, it ends the job that serves it.",
    example="cancel quickstart",
    add=_add,
    run=_run,
    prints=CancelResult,
    group="runs",
)
