"""Python packages that a part of a run needs beside the installed ones, and which of them are missing here."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that the ranks import."""

    module: str
    """Name under which it is imported."""
    name: str
    """Name under which it is installed."""
    install: str
    """The command that installs it."""


def missing(packages: Iterable[Package]) -> list[Package]:
    """Those of the packages that the running Python cannot import; nothing is imported."""
    return [package for package in packages if importlib.util.find_spec(package.module) is None]
