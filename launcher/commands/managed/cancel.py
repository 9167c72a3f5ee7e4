"""python -m launcher managed cancel: end a job."""

import argparse
import json

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.managed.api import Api
from launcher.managed.job import job_dict, job_lines
from launcher.managed.records import Records
from launcher.output import align


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="its id, as `managed list` shows it")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    job = Api().cancel(options.job)
    Records(options.runs_dir.absolute()).note_job(job)
    print(json.dumps(job_dict(job)) if options.json else align(job_lines(job)), flush=True)
    return Exit.OK


VERB = Verb(line="end a job", example="managed cancel ftjob-abc", add=_add, run=_run)
