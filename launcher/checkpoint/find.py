"""Which checkpoints a run has, and what is left of those that it has not."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from launcher.checkpoint.manifest import Manifest, read_manifest, step_of
from launcher.errors import CheckpointError

TEMPORARY = ".tmp_"
"""Begins the name of a folder that is being written, replaced or deleted."""


@dataclass(frozen=True, slots=True)
class Found:
    """A committed checkpoint."""

    path: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Broken:
    """A folder that has a checkpoint's name and is none."""

    path: Path
    reason: str


def find_all(checkpoints: Path) -> list[Found | Broken]:
    """Every folder with a checkpoint's name, the highest step first, by name and never by time."""
    if not checkpoints.is_dir():
        return []
    steps = {step: path for path in checkpoints.iterdir() if (step := step_of(path)) is not None}
    return [look(steps[step]) for step in sorted(steps, reverse=True)]


def look(folder: Path) -> Found | Broken:
    """What a folder is, by its manifest and its files' sizes."""
    try:
        return Found(folder, read_manifest(folder))
    except CheckpointError as error:
        return Broken(folder, str(error))


def committed(checkpoints: Path) -> list[Found]:
    """The committed ones, the newest first."""
    return [found for found in find_all(checkpoints) if isinstance(found, Found)]


def remove_leftovers(checkpoints: Path) -> list[str]:
    """Deletes what a torn save or a torn deletion left; their names. Only before any rank of this attempt saves."""
    if not checkpoints.is_dir():
        return []
    left = [path for path in checkpoints.iterdir() if path.name.startswith(TEMPORARY)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left]
