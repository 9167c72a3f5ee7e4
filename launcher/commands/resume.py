"""python -m launcher resume RUN [key=value ...]: go on with a run that ended early, on other nodes if need be."""

import argparse

from launcher.commands.follow import follow_process
from launcher.commands.launch import tell
from launcher.commands.options import make_parser
from launcher.errors import Exit
from launcher.launching.resume import MAY_CHANGE, resume
from launcher.run import find_run


def main(arguments: list[str]) -> int:
    """The exit code: the run's own where it is followed to its end, 0 once it is queued."""
    options, overrides = _parser().parse_known_args(arguments)
    run = find_run(options.runs_dir.absolute(), options.run)
    launched = resume(
        run, [*options.overrides, *overrides], lambda composed, one: tell(composed, one, options.json)
    )
    if launched.process is None:
        return Exit.OK
    return follow_process(run, launched.process, quiet=options.json)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "resume",
        "Go on with a run that ended early, from its newest committed checkpoint, in the same run dir. What it trains stays; "
        f"these keys may change: {', '.join(MAY_CHANGE)}.",
        "python -m launcher resume llama8b resources.nodes=1 strategy=zero3",
    )
    parser.add_argument("run", metavar="RUN", help="a run dir, name/date_time or a run's name")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="what is to be other than it was, in Hydra's syntax"
    )
    return parser
