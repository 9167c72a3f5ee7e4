"""The comparison of a checkpoint's files with the digests of its manifest."""

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from launcher.checkpoint.find import FoundCheckpoint
from launcher.checkpoint.pieces import CHUNK

_THREADS = 4


def first_difference(found: FoundCheckpoint, names: Sequence[str]) -> str | None:
    """What is wrong with the first of these files that has changed since it was written; None if none has changed."""
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = pool.map(_crc32, [found.path / name for name in names])
        for name, digest in zip(names, digests, strict=True):
            expected = found.manifest.files[name].crc32
            if digest != expected:
                return f"{found.path / name} has digest {digest}, but the manifest says {expected}"
    return None


def _crc32(path: Path) -> str:
    """The digest of a file, or the reason why it cannot be read."""
    digest = 0
    buffer = bytearray(CHUNK)
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest = zlib.crc32(memoryview(buffer)[:count], digest)
    except OSError as error:
        return f"none ({error.strerror})"
    return f"{digest:08x}"
