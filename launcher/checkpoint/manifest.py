"""A checkpoint is committed when its manifest, written last, is in place and true."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, cast

from launcher.run import write_text

MANIFEST = "manifest.json"
_FOLDER = re.compile(r"checkpoint-(\d+)")


def step_of(folder: Path) -> int | None:
    """The optimizer step in a checkpoint folder's name; None when it is no checkpoint folder."""
    found = _FOLDER.fullmatch(folder.name)
    return int(found[1]) if found else None


def commit(folder: Path, facts: dict[str, Any]) -> None:
    """Makes the files of `folder` durable, then writes the manifest with every file's size in bytes."""
    files: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            _sync(path)
            files[str(path.relative_to(folder))] = path.stat().st_size
    write_text(folder / MANIFEST, json.dumps({**facts, "files": files}, indent=2) + "\n")
    _sync(folder / MANIFEST)
    _sync(folder)


def is_committed(folder: Path) -> bool:
    """Whether the manifest is there and every file has the size that it says."""
    try:
        files: Any = json.loads((folder / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if not isinstance(files, dict):
        return False
    for name, size in cast("dict[str, int]", files).items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return False
    return True


def latest_committed(checkpoints: Path) -> Path | None:
    """The committed checkpoint with the highest step; None where there is none."""
    steps = _by_step(checkpoints)
    return next((steps[step] for step in sorted(steps, reverse=True) if is_committed(steps[step])), None)


def retain(checkpoints: Path, keep_last: int) -> None:
    """Deletes committed checkpoints older than the newest `keep_last`; for one rank, after a commit."""
    steps = _by_step(checkpoints)
    committed = [step for step in sorted(steps, reverse=True) if is_committed(steps[step])]
    for step in committed[keep_last:]:
        (steps[step] / MANIFEST).unlink()  # first: a half-deleted checkpoint must not count
        shutil.rmtree(steps[step])


def _by_step(checkpoints: Path) -> dict[int, Path]:
    if not checkpoints.is_dir():
        return {}
    return {step: path for path in checkpoints.iterdir() if (step := step_of(path)) is not None}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
