"""python -m launcher follow [RUN]: a run's progress, from its own files, until it is over."""

import argparse

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.output import print_json
from launcher.status.follow import follow_run
from launcher.status.run_status import Status
from launcher.status.state import read_status


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code: that of the run. Ctrl-C ends the display, not the run."""
    run = chosen_run(options)
    code = follow_run(run, quiet=options.json)
    if options.json:
        print_json(read_status(run))
    return code


VERB = Verb(
    line="show a run's progress until it is over",
    about="Its exit code is that of the run. Ctrl-C ends the display, not the run.",
    example="follow quickstart",
    add=_add,
    run=_run,
    prints=Status,
    group="runs",
)
