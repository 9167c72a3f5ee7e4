"""Finds conf/ and slurm/: inside the package in a wheel, next to it in a checkout."""

from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
"""The folder of the package launcher, without links."""


@cache
def resource_dir(name: str) -> Path:
    """The folder `name` (conf or slurm) of this installation."""
    shipped = PACKAGE / name
    return shipped if shipped.is_dir() else PACKAGE.parent / name


def shipped_models() -> list[str]:
    """The sorted names of the models of conf/model."""
    return sorted(file.stem for file in (resource_dir("conf") / "model").glob("*.yaml"))
