"""Verbs, found in the folder launcher/commands: a module there is a verb, a folder there is a group of verbs."""

import importlib
import pkgutil
from functools import cache
from typing import cast

from launcher.cli.verb import Verb, Verbs

PACKAGE = "launcher.commands"


@cache
def verb_names(group: str = "") -> tuple[str, ...]:
    """Names of all verbs, or of those of a group, without importing any of them."""
    package = importlib.import_module(f"{PACKAGE}.{group}" if group else PACKAGE)
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
