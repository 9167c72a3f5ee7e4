"""python -m launcher managed cancel: end a job."""

import argparse

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.managed.api import Api
from launcher.managed.job import ManagedJob, print_job
from launcher.managed.records import Records


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="its id, as `managed list` shows it")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    job = Api().cancel(options.job)
    Records(options.runs_dir.absolute()).note_job(job)
    print_job(job, as_json=options.json)
    return Exit.OK


VERB = Verb(line="end a job", example="managed cancel ftjob-abc", add=_add, run=_run, prints=ManagedJob)
