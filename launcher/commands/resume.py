"""python -m launcher resume RUN [key=value ...]: continue a run that ended early, on other nodes if needed."""

import argparse

from launcher.cli.launched import add_verbose, follow, shown, tell
from launcher.cli.parser import add_trust, trust
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.launching.freeze.enter import enter, has_changed, is_entered
from launcher.launching.launch import LaunchReport
from launcher.launching.resume import MAY_CHANGE, resume
from launcher.output import say
from launcher.run import find_run
from launcher.run.code import read_code


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run dir, name/date_time or a run's name")
    add_trust(parser)
    add_verbose(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code: that of the run if it is followed to its end, 0 once it is queued."""
    run = find_run(options.runs_dir.absolute(), options.run)
    trust(run, options)
    asked = any(word.lstrip("+").startswith("freeze=") for word in options.overrides)
    if not asked and not is_entered() and (code := read_code(run.code)) and has_changed(code):
        more = [word for word, given in (("--json", options.json), ("--verbose", options.verbose)) if given]
        say(
            f"{run.name} continues with the code of its launch; the code has changed since, and freeze=true takes the current "
            "code"
        )
        enter(run, code, ["resume", str(run.path), *options.overrides, *more])
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
