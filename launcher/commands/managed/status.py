"""python -m launcher managed status: show the state of a job."""

import argparse

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.managed.api import Api
from launcher.managed.job import ManagedJob, has_failed, print_job
from launcher.managed.records import Records


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", metavar="JOB", help="default: the last job that was created here")


def _run(options: argparse.Namespace) -> int:
    """The exit code; 3 for a job that failed or was cancelled."""
    records = Records(options.runs_dir.absolute())
    job = Api().job(options.job or records.newest())
    records.note_job(job)
    print_job(job, as_json=options.json)
    return Exit.FAILED if has_failed(job) else Exit.OK


VERB = Verb(line="show the state of a job", example="managed status", add=_add, run=_run, prints=ManagedJob)
