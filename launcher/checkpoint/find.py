"""The checkpoints of a run, and the leftovers of saves and deletions that were interrupted."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from launcher.checkpoint.manifest import Manifest, read_manifest, step_of
from launcher.errors import CheckpointError

TEMPORARY = ".tmp_"
"""Prefix of the name of a folder that is being written, replaced or deleted."""


@dataclass(frozen=True, slots=True)
class FoundCheckpoint:
    """A committed checkpoint."""

    path: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Broken:
    """A folder that has the name of a checkpoint but is not a committed checkpoint."""

    path: Path
    reason: str


def find_all(checkpoints: Path) -> list[FoundCheckpoint | Broken]:
    """Every folder with the name of a checkpoint, the highest step first. Times of files do not count."""
    if not checkpoints.is_dir():
        return []
    steps = {step: path for path in checkpoints.iterdir() if (step := step_of(path)) is not None}
    return [look(steps[step]) for step in sorted(steps, reverse=True)]


def look(folder: Path) -> FoundCheckpoint | Broken:
    """A folder as a committed or broken checkpoint, by its manifest and the sizes of its files."""
    try:
        return FoundCheckpoint(folder, read_manifest(folder))
    except CheckpointError as error:
        return Broken(folder, str(error))


def committed(checkpoints: Path) -> list[FoundCheckpoint]:
    """The committed checkpoints, the newest first."""
    return [found for found in find_all(checkpoints) if isinstance(found, FoundCheckpoint)]


def remove_leftovers(checkpoints: Path) -> list[str]:
    """The names of the leftovers of interrupted saves and deletions, which are deleted. Call it before any rank saves."""
    if not checkpoints.is_dir():
        return []
    left = [path for path in checkpoints.iterdir() if path.name.startswith(TEMPORARY)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left]
