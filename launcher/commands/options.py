"""The options that the verbs have in common."""

import argparse
from pathlib import Path

from launcher.run import RunDir, find_run


def make_parser(verb: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with --runs-dir and --json."""
    parser = argparse.ArgumentParser(
        prog=f"python -m launcher {verb}",
        description=description,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--runs-dir",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="folder of all runs (default: runs)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for a machine")
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    """The argument RUN."""
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="a run dir, name/date_time or a run's name; default: the newest run",
    )


def chosen_run(options: argparse.Namespace) -> RunDir:
    """The run that was named; RunError where there is none."""
    return find_run(options.runs_dir.absolute(), options.run)
