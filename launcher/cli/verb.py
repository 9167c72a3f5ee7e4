"""What a module of launcher/commands declares: a verb, or a group of verbs in a folder of its own."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

GROUPS = {
    "launch": "Plan and launch (words in Hydra's syntax)",
    "runs": "Look at runs and act on them",
    "model": "Use what was trained",
    "data": "Data files",
    "more": "Sweeps, providers, help",
}
"""Headings of `launcher help`, in their order."""


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb. Its name is that of its module, which has it under the name VERB."""

    line: str
    """What it does, in one line that begins with a verb and has no full stop."""
    example: str
    """Words that follow `python -m launcher`; several examples stand on lines of their own."""
    run: Callable[[argparse.Namespace], int]
    """Does it and returns the exit code; a LauncherError is a refusal."""
    add: Callable[[argparse.ArgumentParser], None] = no_arguments
    """Adds its arguments; --json is there already."""
    about: str = ""
    """What else `--help` says."""
    group: str = "more"
    """A key of GROUPS."""
    runs_dir: bool = True
    """Whether it takes --runs-dir. With `overrides`, only a verb that has RUN does: else the key runs_dir says it."""
    overrides: bool = False
    """Whether it takes words in Hydra's syntax, which it then finds in options.overrides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbs:
    """A group of verbs, such as `sweep`: the __init__.py of its folder has it under the name VERB."""

    line: str
    """As of Verb."""
    example: str
    """As of Verb."""
    about: str = ""
    """As of Verb."""
    group: str = "more"
    """As of Verb."""
