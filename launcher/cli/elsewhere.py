"""Runs a command on the cluster that its run is on, by ssh."""

import argparse
from collections.abc import Sequence
from typing import Any, cast

from launcher.cli.verb import Verb
from launcher.errors import Elsewhere, Exit
from launcher.launching.elsewhere import ConfigElsewhere
from launcher.launching.launch import LaunchReport
from launcher.remote.forward import forget, run_about
from launcher.remote.launch import run_with_overrides
from launcher.run.remote import RunElsewhere


def run_elsewhere(
    name: str, verb: Verb, words: Sequence[str], options: argparse.Namespace, away: Elsewhere
) -> int:
    """The exit code there; raises `away` again for a verb that cannot run there."""
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
