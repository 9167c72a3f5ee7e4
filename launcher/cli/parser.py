"""The parser of a verb: all verbs have the same common options, help and errors; and the types of options.

A type parses a text, and raises ValueError for an invalid one.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from launcher.cli.verb import Verb
from launcher.errors import UsageError, unknown
from launcher.run import RunDir, find_run

PROGRAM = "python -m launcher"
OWN_FILE = "--config"
"""The option that gives a configuration in a file of one's own; it is passed on with the overrides."""
_OF_HYDRA = (
    OWN_FILE, "-m", "--multirun", "-cd", "--config-dir", "-cp", "--config-path", "-cn", "--config-name", "-c", "--cfg",
    "--package", "-i", "--info", "--resolve", "-hh", "--hydra-help", "-sc", "--shell-completion", "-r", "--run",
    "--experimental-rerun",
)  # fmt: skip
"""Options that are passed on with the overrides; all but the first are Hydra's. Source: `python -m launcher --hydra-help`,
Hydra 1.3."""


class _Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, so that an error is one line, and JSON under --json."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raises the error of argparse for a value that is not one of an option's, with the nearest one."""
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(
                action, unknown("value", str(value), map(str, action.choices)).rstrip(".")
            )


def make_parser(name: str, verb: Verb) -> argparse.ArgumentParser:
    """The parser of one verb."""
    line = f"{verb.line[0].upper()}{verb.line[1:]}."
    examples = "\n         ".join(f"{PROGRAM} {words}" for words in verb.example.splitlines())
    parser = _Parser(
        prog=f"{PROGRAM} {name}",
        description=f"{line} {verb.about}".strip(),
        epilog=f"example: {examples}",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    if verb.overrides:
        parser.usage = f"%(prog)s {'RUN' if verb.runs_dir else '+experiment=NAME | --config FILE'} [key=value ...] [options]"
    verb.add(parser)
    if verb.runs_dir:
        parser.add_argument(
            "--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="folder of all runs (default: runs)"
        )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, also for an error")
    return parser


def parse(name: str, verb: Verb, words: Sequence[str]) -> argparse.Namespace:
    """The options; UsageError for arguments that the verb does not know."""
    parser = make_parser(name, verb)
    if not verb.overrides:
        return parser.parse_args(words)
    options, overrides = parser.parse_known_args(words)
    for word in overrides:
        if word.startswith("-") and word.partition("=")[0] not in _OF_HYDRA:
            from launcher.config.other_names import answer_option

            parser.error(answer_option(word) or f"unrecognized option {word}")
    options.overrides = overrides
    return options


class _Help(argparse.RawDescriptionHelpFormatter):
    """Wraps the description, but not the examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example:"):
            return text
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds the argument RUN."""
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="a run dir, name/date_time or a run's name; default: the newest run",
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Adds --trust-run, to a verb that imports a run's code."""
    from launcher.run.owner import TRUST

    parser.add_argument(
        TRUST, action="store_true", help="use a run of another user, whose code then runs with your rights"
    )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Adds --checkpoint, to a verb that uses a run's weights."""
    parser.add_argument(
        "--checkpoint", metavar="STEP", help="a step, or newest, instead of the finished model"
    )


def trusted_run(options: argparse.Namespace) -> RunDir:
    """The chosen run, for a verb that imports its code; RunError for another user's run unless --trust-run is given."""
    from launcher.run.owner import check_trusted

    run = chosen_run(options)
    check_trusted(run, options.trust_run)
    return run


def trust(run: RunDir, options: argparse.Namespace) -> None:
    """The check of trusted_run for a verb that takes keys: trust_run=true means the same, and is removed from the keys. A
    command that has restarted itself with the run's code was checked before."""
    from launcher.launching.freeze.enter import is_entered
    from launcher.run.owner import TRUST_KEY, check_trusted

    given = TRUST_KEY in options.overrides
    options.overrides = [word for word in options.overrides if word != TRUST_KEY]
    if not is_entered():
        check_trusted(run, options.trust_run or given, TRUST_KEY)


def chosen_run(options: argparse.Namespace) -> RunDir:
    """The chosen run; RunError if there is none."""
    return find_run(options.runs_dir.absolute(), options.run)


def positive(text: str) -> int:
    """A whole number of at least 1; ArgumentTypeError names what is allowed, and so do those below."""
    return _whole(text, 1, "must be a whole number of at least 1")


def count(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0, "must be a whole number of at least 0")


def auto_or_whole(text: str) -> int | str:
    """`auto`, or a whole number of at least 1."""
    return text if text == "auto" else _whole(text, 1, "must be auto or a whole number of at least 1")


def seconds(text: str) -> float:
    """A number of seconds above 0, at most an hour."""
    return _above_0(text, 3600, "must be a number of seconds above 0, at most 3600")


def auto_or_number(text: str) -> float | str:
    """`auto`, or a number above 0."""
    return text if text == "auto" else _above_0(text, sys.float_info.max, "must be auto or a number above 0")


def _whole(text: str, least: int, rule: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text) or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} {rule}")
    return int(text)


def _above_0(text: str, most: float, rule: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"{text} {rule}")
    return value
