"""python -m launcher resume RUN [key=value ...]: continue a run that ended early, on other nodes if needed."""

import argparse

from launcher.cli.launched import add_verbose, follow, shown, tell
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.launching.launch import LaunchReport
from launcher.launching.resume import MAY_CHANGE, resume
from launcher.run import find_run


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run dir, name/date_time or a run's name")
    add_verbose(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code: that of the run if it is followed to its end, 0 once it is queued."""
    run = find_run(options.runs_dir.absolute(), options.run)
    launched = resume(run, options.overrides, lambda composed, one: tell(composed, one, shown(options)))
    if launched.process is None:
        return Exit.OK
    return follow(run, launched.process, options.json)


VERB = Verb(
    line="continue a run that ended early, from its newest committed checkpoint, in the same run dir",
    about=f"What it trains stays the same; these keys can change: {', '.join(MAY_CHANGE)}, and the options of "
    "plugins such as sharded_checkpoint and gradient_checkpointing.",
    example="resume llama8b resources.nodes=1 strategy=zero3",
    add=_add,
    run=_run,
    prints=LaunchReport,
    group="runs",
    overrides=True,
)
