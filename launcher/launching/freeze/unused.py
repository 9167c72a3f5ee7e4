"""Copies of code in the cache that no run dir uses any more; a file beside each copy names the run dirs that got it."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import RunError
from launcher.launching.freeze.keep import USES
from launcher.reading import object_in
from launcher.run.code import read_code

_NAME = re.compile(r"\.?([0-9a-f]{40})(\.|$)")
"""Matches the names of an archive, of its unpacked copy, and of a copy that was set aside or is half unpacked: all begin with
the hash of the content."""
_SETTLED_S = 86_400.0
"""Age in seconds below which a copy is kept: it may belong to a launch that has not yet written its run dir."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCopy:
    """The code of some content in the cache."""

    name: str
    """The hash of the content."""
    paths: tuple[Path, ...]
    """The archive, and what was unpacked of it."""
    bytes: int


def unused_copies(cache: Path, runs_dir: Path) -> list[CodeCopy]:
    """The copies in the folder `code` of a cache that no run uses: no run dir in which the copy was put is left, no file is
    linked to its archive, and no code.json under `runs_dir` names it."""
    named = set(_named_in(runs_dir))
    found: list[CodeCopy] = []
    for name, paths in _copies(cache).items():
        archive = cache / f"{name}.tar"
        linked = archive.is_file() and archive.stat().st_nlink > 1
        newest = max(path.lstat().st_mtime for path in paths)
        if (
            name in named
            or linked
            or time.time() - newest < _SETTLED_S
            or any(map(os.path.exists, _uses(cache, name)))
        ):
            continue
        found.append(CodeCopy(name=name, paths=tuple(paths), bytes=sum(map(_size, paths))))
    return found


def remove_copies(cache: Path, copies: list[CodeCopy]) -> None:
    """Deletes them, and what the cache remembers of them. RunError for one that cannot be deleted."""
    for copy in copies:
        for path in copy.paths:
            try:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            except OSError as error:
                raise RunError(f"{path} cannot be removed: {error.strerror}") from None
        (cache / USES / copy.name).unlink(missing_ok=True)
    gone = {f"{copy.name}.tar" for copy in copies}
    for index in (cache / "index").glob("*.json"):
        if (object_in(index) or {}).get("archive") in gone:
            index.unlink(missing_ok=True)


def _copies(cache: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(cache.iterdir()) if cache.is_dir() else ():
        if match := _NAME.match(path.name):
            found.setdefault(match[1], []).append(path)
    return found


def _uses(cache: Path, name: str) -> list[str]:
    try:
        return (cache / USES / name).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []


def _named_in(runs_dir: Path) -> Iterator[str]:
    for depth in ("*/*", "*/*/*"):
        for file in runs_dir.glob(f"{depth}/code.json"):
            code = read_code(file)
            yield from (Path(folder).name for folder in code.folders) if code else ()


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names)
