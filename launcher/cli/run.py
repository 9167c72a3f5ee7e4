"""Runs a command line and returns its exit code; a command about a run on a cluster runs there, by ssh."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, TypedDict, cast

from launcher import __version__
from launcher.cli.parser import parse
from launcher.cli.verb import Verb, find_verb, verb_names
from launcher.errors import Elsewhere, Exit, LauncherError, UsageError, unknown
from launcher.output import print_json, print_text, say

DEFAULT = "launch"
"""The verb of a command line that begins with an override or an option."""
_WORD = re.compile(r"[A-Za-z]+(-[A-Za-z]+)*")
_BEGINS = ("train", "run", "start", "submit", "fit", "finetune", "tune")
"""Verbs of other tools that begin a training."""
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
        print_text(f"launcher {__version__}")
        return Exit.OK
    if any(word in ("-sc", "--shell-completion") for word in words):
        from launcher.cli.help import complete

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
        return _run_elsewhere(name, verb, rest, options, away)


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
    if words[0] in _BEGINS:
        raise UsageError(
            f"there is no verb {words[0]}: a run starts without one, with --config my_run.yaml or +experiment=NAME; "
            "python -m launcher init writes such a file"
        )
    if words[0] not in verb_names():
        raise UsageError(f"{unknown('verb', words[0], verb_names())} A run starts with +experiment=NAME.")
    return words[0], words[1:]


def _help(name: str) -> int:
    from launcher.cli.help import help_text

    print_text(help_text(name))
    return 0


def _run_elsewhere(
    name: str, verb: Verb, words: Sequence[str], options: argparse.Namespace, away: Elsewhere
) -> int:
    """The exit code there; raises `away` again for a verb that cannot run there."""
    # imported here: most commands run here
    from launcher.launching.elsewhere import ConfigElsewhere
    from launcher.launching.launch import LaunchReport
    from launcher.remote.command import forget, run_about
    from launcher.remote.launch import run_with_overrides
    from launcher.run.remote import RunElsewhere

    if isinstance(away, ConfigElsewhere) and verb.overrides and not verb.terminal:
        prints: Any = verb.printed
        launches = isinstance(prints, dict) and LaunchReport in cast("dict[str, Any]", prints).values()
        return run_with_overrides(name, words, options.overrides, away, launches=launches)
    if isinstance(away, RunElsewhere) and verb.runs_dir and not verb.terminal:
        removed: list[str] | None = getattr(options, "runs", None)
        named: str | None = getattr(options, "run", None) or getattr(options, "sweep", None)
        reference = removed[0] if removed else named
        if removed and len(removed) > 1:
            raise away
        code = run_about(name, words, reference, away)
        if removed and code == Exit.OK:
            forget(away)
        return code
    raise away
