"""python -m launcher follow [RUN]: a run's progress, from its own files, until it is over."""

from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.status.follow import follow_run
from launcher.status.state import read_status


def main(arguments: list[str]) -> int:
    """The exit code: 0 for a finished run. Ctrl-C ends the showing, not the run."""
    parser = make_parser(
        "follow", "Show a run's progress until it is over.", "python -m launcher follow quickstart"
    )
    add_run(parser)
    options = parser.parse_args(arguments)
    run = chosen_run(options)
    code = follow_run(run, quiet=options.json)
    if options.json:
        print(read_status(run).to_json())
    return code
