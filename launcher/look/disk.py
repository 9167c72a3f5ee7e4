"""The speed of a folder: a file is written through to its disk, and read back past the cache."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from launcher import environment
from launcher.file_systems import file_system
from launcher.look.record import Disk

_BLOCK = 4 << 20
_BLOCKS = 16
_LONGEST_S = 5.0
"""Seconds after which the measurement of a slow disk stops writing."""
_PLACES = (
    "TMPDIR",
    environment.SLURM_TMPDIR,
    environment.SLURM_JOBTMP,
    environment.LOCAL_SCRATCH,
    environment.LSCRATCH,
)
"""Variables in which sites name the local disk of a job."""
_FOLDERS = ("/tmp", "/local", "/localscratch", "/scratch-local", "/raid", "/nvme")


def local_folders() -> list[Path]:
    """Folders that can be a node's own disk, each once, if they can be written."""
    named = [os.environ.get(name, "") for name in _PLACES]
    found: dict[Path, None] = {}
    for text in (*named, *_FOLDERS):
        path = Path(text)
        if text and path.is_dir() and os.access(path, os.W_OK):
            found.setdefault(path.resolve())
    return list(found)


def measure(folder: Path) -> Disk:
    """The folder's file system with its speeds."""
    disk = Disk(
        path=str(folder), kind=file_system(folder), free_gb=round(shutil.disk_usage(folder).free / 1e9, 1)
    )
    path = folder / f".launcher_probe_{os.uname().nodename}_{os.getpid()}"
    try:
        disk.write_gb_s = _write(path)
        disk.read_gb_s = _read(path)
    except OSError:
        pass  # the disk is full or we may not write: the speeds stay unknown
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return disk


def _write(path: Path) -> float:
    block, began, written = os.urandom(_BLOCK), time.monotonic(), 0
    with path.open("wb", buffering=0) as file:
        for _ in range(_BLOCKS):
            written += file.write(block)
            if time.monotonic() - began > _LONGEST_S:
                break
        os.fsync(file.fileno())
    return written / (time.monotonic() - began) / 1e9


def _read(path: Path) -> float:
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began, size = time.monotonic(), 0
        while piece := file.read(_BLOCK):
            size += len(piece)
    return size / max(time.monotonic() - began, 1e-9) / 1e9
