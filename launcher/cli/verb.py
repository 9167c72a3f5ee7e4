"""A verb, or a group of verbs: its declaration in a module of launcher/commands, and how it is found there.

A module of that folder is a verb, a folder in it is a group of verbs.
"""

import argparse
import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, cast

from launcher.frozen_dataclass import frozen_dataclass

GROUPS = {
    "launch": "Plan and launch (arguments in Hydra's syntax)",
    "runs": "Look at runs and act on them",
    "model": "Use what was trained",
    "data": "Data files",
    "more": "Sweeps, providers, help",
}
"""Headings of `launcher help`, in their order."""


NOTHING = "nothing"
"""The `prints` of a verb that prints no result, with or without --json."""
PACKAGE = "launcher.commands"


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing."""


@frozen_dataclass
class Verb:
    """One verb. It has the name of its module, which defines it as VERB."""

    line: str
    """One line that says what it does; it starts with a verb and has no full stop."""
    example: str
    """The arguments after `python -m launcher`; several examples are on separate lines."""
    run: Callable[[argparse.Namespace], int]
    """Runs the verb and returns the exit code; a LauncherError is a refusal."""
    prints: Any = None
    """What it prints under --json: a TypedDict or a dataclass with a docstring below each field, or a list or mapping of such.
    A tuple is one object with the fields of all of its classes. A dict of these has a shape for each case, by a text such as
    "with --explain". NOTHING is for a verb without a result. It can be a function that returns these and imports them.
    docs/reference/json.md is generated from it, and a verb without it fails the build."""
    add: Callable[[argparse.ArgumentParser], None] = no_arguments
    """Adds its arguments; --json is added for every verb."""
    about: str = ""
    """More text for `--help`."""
    group: str = "more"
    """A key of GROUPS."""
    runs_dir: bool = True
    """Whether it takes --runs-dir. With `overrides`, only a verb with RUN does; otherwise the key runs_dir sets the folder."""
    overrides: bool = False
    """Whether it takes arguments in Hydra's syntax; they are then in options.overrides."""
    terminal: bool = False
    """Whether it needs the terminal of the person who typed it; it then does not run on a cluster that is reached by ssh."""

    @property
    def printed(self) -> Any:
        """`prints`, or what it returns."""
        return self.prints() if isinstance(self.prints, FunctionType) else self.prints


@frozen_dataclass
class Verbs:
    """A group of verbs, such as `sweep`; the __init__.py of its folder defines it as VERB."""

    line: str
    """The same as in Verb."""
    example: str
    """The same as in Verb."""
    about: str = ""
    """The same as in Verb."""
    group: str = "more"
    """The same as in Verb."""


@cache
def verb_names(group: str = "") -> tuple[str, ...]:
    """Names of all verbs, or of those of a group, without importing any of them."""
    folder = group.replace("-", "_")
    package = importlib.import_module(f"{PACKAGE}.{folder}" if folder else PACKAGE)
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__)))


def find_verb(name: str) -> Verb | Verbs:
    """The verb of that name; `sweep status` names one of a group. A hyphen in it is an underscore in the module's name."""
    module = importlib.import_module(f"{PACKAGE}.{name.replace(' ', '.').replace('-', '_')}")
    return cast("Verb | Verbs", module.VERB)


def all_verbs() -> dict[str, Verb]:
    """Every verb by its full name, including those of groups."""
    found: dict[str, Verb] = {}
    for name in verb_names():
        verb = find_verb(name)
        if isinstance(verb, Verb):
            found[name] = verb
        else:
            for one in verb_names(name):
                inner = find_verb(f"{name} {one}")
                assert isinstance(inner, Verb)
                found[f"{name} {one}"] = inner
    return found
