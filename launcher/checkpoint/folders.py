"""The folders of a run's checkpoints: how one is found, compared with its manifest, committed, kept and deleted.

Saves and deletions that were interrupted leave folders that are not checkpoints.
"""

import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from launcher.checkpoint.manifest import MANIFEST, Manifest, folder_name, rank_file, read_manifest, step_of
from launcher.checkpoint.pieces import CHUNK, PieceReader, write_file
from launcher.errors import CheckpointError

TEMPORARY = ".tmp_"
"""Prefix of the name of a folder that is being written, replaced or deleted."""
_THREADS = 4


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


def find_all(checkpoints: Path, *, sizes: bool = True) -> list[FoundCheckpoint | Broken]:
    """Every folder with the name of a checkpoint, the highest step first. Times of files do not count.

    `sizes=False` reads the manifests alone: to look at the files of tens of thousands of ranks takes seconds.
    """
    if not checkpoints.is_dir():
        return []
    steps = {step: path for path in checkpoints.iterdir() if (step := step_of(path)) is not None}
    return [look(steps[step], sizes=sizes) for step in sorted(steps, reverse=True)]


def look(folder: Path, *, sizes: bool = True) -> FoundCheckpoint | Broken:
    """A folder as a committed or broken checkpoint, by its manifest and the sizes of its files."""
    try:
        return FoundCheckpoint(folder, read_manifest(folder, sizes=sizes))
    except CheckpointError as error:
        return Broken(folder, str(error))


def committed(checkpoints: Path) -> list[FoundCheckpoint]:
    """The committed checkpoints, the newest first."""
    return [found for found in find_all(checkpoints) if isinstance(found, FoundCheckpoint)]


def remove_leftovers(checkpoints: Path) -> list[str]:
    """Deletes what interrupted saves and deletions have left, and returns the names of those that are gone.

    Call it before any rank saves.
    """
    if not checkpoints.is_dir():
        return []
    left = [path for path in checkpoints.iterdir() if path.name.startswith(TEMPORARY)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left if not path.exists()]


def first_difference(found: FoundCheckpoint, names: Sequence[str]) -> str | None:
    """What is wrong with the first of these files that has changed since it was written; None if none has changed."""
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = pool.map(_crc32, [found.path / name for name in names])
        for name, digest in zip(names, digests, strict=True):
            expected = found.manifest.files[name].crc32
            if isinstance(digest, OSError):
                return f"{found.path / name} cannot be read: {digest.strerror}"
            if digest != expected:
                return f"{found.path / name} has digest {digest}, but the manifest says {expected}"
    return None


def open_pieces(found: FoundCheckpoint, order: Iterable[int] | None = None) -> PieceReader:
    """A reader of its tensors. `order`: the ranks in the order in which their files are searched; None searches from rank 0."""
    manifest = found.manifest
    ranks = range(manifest.world_size) if order is None else order
    whole = {name: found.path / rank_file(rank) for name, rank in manifest.writers.items()}
    return PieceReader([found.path / rank_file(rank) for rank in ranks], whole)


def _crc32(path: Path) -> str | OSError:
    """The digest of a file, or the error that prevents reading it."""
    digest = 0
    buffer = bytearray(CHUNK)
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest = zlib.crc32(memoryview(buffer)[:count], digest)
    except OSError as error:
        return error
    return f"{digest:08x}"


def open_folder(checkpoints: Path, step: int) -> Path:
    """The folder in which every rank writes its part. Its temporary name is not the name of a checkpoint."""
    folder = checkpoints / f"{TEMPORARY}{folder_name(step)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def commit(folder: Path, manifest: Manifest) -> Path:
    """The checkpoint's folder, once the manifest is written, the folder has its final name, and both are durable.

    One rank calls it after all ranks have written their parts. An existing folder of that name, which is broken or an
    earlier save of the same step, is deleted afterwards. Raises OSError.
    """
    write_file(folder / MANIFEST, [memoryview(manifest.to_text().encode())])
    sync(folder)
    target = folder.with_name(folder_name(manifest.step))
    replaced = folder.with_name(f"{TEMPORARY}replaced_{target.name}")
    if target.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        target.rename(replaced)
    folder.rename(target)
    sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return target


def retain(
    checkpoints: Path,
    keep_last: int,
    keep_every: int,
    keep_best: int,
    newest: int | None = None,
    more: Callable[[Sequence[Manifest]], Mapping[int, list[str]]] | None = None,
) -> list[int]:
    """The steps of the committed checkpoints that were deleted because no rule keeps them.

    `newest`: the step that was just saved. Later checkpoints are from before the run went back to an earlier step, because they
    were broken or had diverged. They do not count, and the run replaces them when it reaches their steps. After a save, the
    manifests alone are read. `more` returns the steps that are kept for other reasons.
    """
    found = [
        one
        for one in find_all(checkpoints, sizes=newest is None)
        if isinstance(one, FoundCheckpoint) and (newest is None or one.manifest.step <= newest)
    ]
    kept = reasons_to_keep([one.manifest for one in found], keep_last, keep_every, keep_best)
    also: Mapping[int, list[str]] = more([one.manifest for one in found]) if more else {}
    unwanted = [one for one in found if one.manifest.step not in kept and one.manifest.step not in also]
    for one in unwanted:
        delete(one)
    return [one.manifest.step for one in unwanted]


def delete(found: FoundCheckpoint) -> None:
    """Deletes a checkpoint. It is renamed first, so that a partly deleted one does not count."""
    doomed = found.path.with_name(f"{TEMPORARY}deleted_{found.path.name}")
    found.path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sync(path: Path) -> None:
    """Makes a file's content, or the names of a folder's entries, durable (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reasons_to_keep(
    manifests: Sequence[Manifest], keep_last: int, keep_every: int, keep_best: int
) -> dict[int, list[str]]:
    """Step -> the reasons to keep it: last, every, best. The order of steps counts, never that of times; the newest step is
    always kept.

    `keep_every`: all multiples of this step; 0 means none. `keep_best`: this number of steps with the lowest evaluation
    loss.
    """
    steps = sorted((manifest.step for manifest in manifests), reverse=True)
    evaluated = [one for one in manifests if one.eval_loss is not None]
    best = sorted(evaluated, key=lambda one: (one.eval_loss, one.step))[:keep_best]
    reasons: dict[int, list[str]] = {step: ["last"] for step in steps[: max(1, keep_last)]}
    for step in steps:
        if keep_every and step % keep_every == 0:
            reasons.setdefault(step, []).append("every")
    for one in best:
        reasons.setdefault(one.step, []).append("best")
    return reasons
