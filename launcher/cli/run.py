"""Runs a command line and returns its exit code."""

import re
from collections.abc import Sequence
from typing import TypedDict

from launcher import __version__
from launcher.cli.find import find_verb, verb_names
from launcher.cli.parser import parse
from launcher.cli.verb import Verb
from launcher.errors import Elsewhere, Exit, LauncherError, UsageError, unknown
from launcher.output import print_json, say

DEFAULT = "launch"
"""The verb of a command line that begins with an override or an option."""
_WORD = re.compile(r"[A-Za-z]+(-[A-Za-z]+)*")
_HELP = ("-h", "--help")
_VERSION = ("-V", "--version")


class ErrorDetails(TypedDict):
    """What went wrong."""

    kind: str
    """The error's class, such as UsageError, ConfigError, PlanError, DataError or RunError."""
    message: str
    """The sentence that a person reads on stderr: the key, the value, the rule and the way out."""
    exit_code: int
    """The command's exit code, by the table of exit codes."""


class ErrorReport(TypedDict):
    """An error under --json."""

    error: ErrorDetails
    """What went wrong."""


def run(words: Sequence[str]) -> int:
    """The exit code of a command line; LauncherError for a refusal."""
    if words and words[0] in _HELP:
        return _help("")
    if words and words[0] in _VERSION:
        print(f"launcher {__version__}")
        return Exit.OK
    if any(word in ("-sc", "--shell-completion") for word in words):
        from launcher.cli.completion import complete

        return complete(list(words))
    name, rest = split(words)
    verb = find_verb(name)
    if not isinstance(verb, Verb):
        if not rest or rest[0] in _HELP:
            return _help(name) or (0 if rest else 2)
        known = verb_names(name)
        if rest[0] not in known:
            raise UsageError(
                f"{unknown(f'{name} command', rest[0], known)} See python -m launcher {name} --help."
            )
        name, rest = f"{name} {rest[0]}", rest[1:]
        verb = find_verb(name)
        assert isinstance(verb, Verb)
    options = parse(name, verb, rest)
    try:
        return verb.run(options)
    except Elsewhere as away:
        from launcher.cli.elsewhere import run_elsewhere

        return run_elsewhere(name, verb, rest, options, away)


def refuse(error: LauncherError, words: Sequence[str]) -> int:
    """The exit code of a refusal; prints it as one line on stderr, and under --json also as an object on stdout."""
    say(str(error))
    if "--json" in words:
        print_json(report_of(error))
    return error.exit_code


def report_of(error: LauncherError) -> ErrorReport:
    """The error as the object that --json prints."""
    return {"error": {"kind": type(error).__name__, "message": str(error), "exit_code": int(error.exit_code)}}


def split(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The verb's name, and the words after it."""
    if not words or not _WORD.fullmatch(words[0]):
        return DEFAULT, words
    if words[0] not in verb_names():
        raise UsageError(f"{unknown('verb', words[0], verb_names())} A run starts with +experiment=NAME.")
    return words[0], words[1:]


def _help(name: str) -> int:
    from launcher.cli.help import help_text

    print(help_text(name))
    return 0
