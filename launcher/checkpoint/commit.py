"""How a folder becomes a checkpoint, and how checkpoints are deleted."""

import os
import shutil
from pathlib import Path

from launcher.checkpoint.find import TEMPORARY, FoundCheckpoint, committed
from launcher.checkpoint.keep import reasons_to_keep
from launcher.checkpoint.manifest import MANIFEST, Manifest, folder_name
from launcher.checkpoint.pieces import write_file


def open_folder(checkpoints: Path, step: int) -> Path:
    """The folder in which every rank writes its part. Its temporary name is not the name of a checkpoint."""
    folder = checkpoints / f"{TEMPORARY}{folder_name(step)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def commit(folder: Path, manifest: Manifest) -> Path:
    """The checkpoint's folder, once the manifest is written, the folder has its final name, and both are durable.

    One rank calls it after all ranks have written their parts. An existing folder of that name, which is broken or an
    earlier save of the same step, is deleted. Raises OSError.
    """
    write_file(folder / MANIFEST, [memoryview(manifest.to_text().encode())])
    sync(folder)
    target = folder.with_name(folder_name(manifest.step))
    if target.exists():
        replaced = folder.with_name(f"{TEMPORARY}replaced_{target.name}")
        shutil.rmtree(replaced, ignore_errors=True)
        target.rename(replaced)
    folder.rename(target)
    sync(target.parent)
    return target


def retain(
    checkpoints: Path, keep_last: int, keep_every: int, keep_best: int, newest: int | None = None
) -> list[int]:
    """The steps of the committed checkpoints that were deleted because no rule keeps them.

    `newest`: the step that was just saved. Later checkpoints are from before the run went back to an earlier step, because they
    were broken or had diverged. They do not count, and the run replaces them when it reaches their steps.
    """
    found = [one for one in committed(checkpoints) if newest is None or one.manifest.step <= newest]
    kept = reasons_to_keep([one.manifest for one in found], keep_last, keep_every, keep_best)
    unwanted = [one for one in found if one.manifest.step not in kept]
    for one in unwanted:
        delete(one)
    return [one.manifest.step for one in unwanted]


def delete(found: FoundCheckpoint) -> None:
    """Deletes a checkpoint. It is renamed first, so that a partly deleted one does not count."""
    doomed = found.path.with_name(f"{TEMPORARY}deleted_{found.path.name}")
    found.path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sync(folder: Path) -> None:
    """Makes the names of a folder's entries durable (fsync)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
