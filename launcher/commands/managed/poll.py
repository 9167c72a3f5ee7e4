"""python -m launcher managed poll: wait for a job's end; can be repeated."""

import argparse

from launcher.cli.parser import seconds
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.managed.api import Api
from launcher.managed.job import ManagedJob, has_failed, print_job, wait_for
from launcher.managed.records import Records


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", metavar="JOB", help="default: the last job that was created here")
    parser.add_argument("--every-s", type=seconds, default=2.0, metavar="S", help="first wait (default: 2)")


def _run(options: argparse.Namespace) -> int:
    """The exit code; 3 for a job that failed or was cancelled."""
    records = Records(options.runs_dir.absolute())
    api = Api()
    job = wait_for(api, records, options.job or records.newest(), options.every_s, quiet=options.json)
    print_job(job, as_json=options.json)
    return Exit.FAILED if has_failed(job) else Exit.OK


VERB = Verb(
    line="wait for a job's end; can be repeated",
    example="managed poll --every-s 10",
    add=_add,
    run=_run,
    prints=ManagedJob,
)
