"""python -m launcher managed list: list the newest jobs."""

import argparse

from launcher.cli.parser import positive
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.managed.api import Api
from launcher.managed.job import ManagedJobs, job_dict
from launcher.output import print_json, print_text


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=positive, default=20, metavar="N", help="at most N jobs (default: 20)"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    jobs = list(Api().jobs(options.limit))
    if options.json:
        result: ManagedJobs = {"jobs": [job_dict(job) for job in jobs]}
        print_json(result)
        return Exit.OK
    for job in jobs:
        line = f"{job['id']}  {job['status']:<16}  {job['model']}  {job.get('fine_tuned_model') or ''}"
        print_text(line.rstrip())
    if not jobs:
        print_text("no jobs")
    return Exit.OK


VERB = Verb(
    line="list the newest jobs", example="managed list --limit 5", add=_add, run=_run, prints=ManagedJobs
)
