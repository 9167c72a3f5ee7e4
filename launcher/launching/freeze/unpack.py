"""A run's code from its archive: unpacked for imports, and compared."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from launcher import environment
from launcher.errors import RunError
from launcher.launching.freeze.keep import PIECE, unique
from launcher.output import warn

_DIFFERS = re.compile(r": (Contents|Size|File type|Symlink) differs?$", re.MULTILINE)
"""Matches what `tar --compare` prints for a file that differs from the archive's, except in owner and mode, which depend on who
unpacks."""


def unpack(folder: str, archive: str) -> None:
    """Unpacks an archive here, as job.sbatch does on the batch host: under another name first, so that another job never sees
    a part of it. RunError if it cannot."""
    to = Path(folder)
    if not Path(archive).is_file():
        raise RunError(
            f"{archive}, the code of the run, is missing; start it with the present code: freeze=false"
        )
    _check_members(Path(archive))
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        if to.is_dir() and not _is_same(to, archive):
            aside = to.with_name(f"{to.name}.changed.{unique()}")
            to.rename(aside)
            warn(
                f"{to}, the copy of the run's code, was changed; it is unpacked again, and the changed copy is kept as {aside}"
            )
        target = to if to.is_dir() else to.with_name(f".{to.name}.{unique()}")
        target.mkdir(exist_ok=True)
        done = subprocess.run(
            ["tar", "--skip-old-files", "-xf", archive, "-C", str(target)], capture_output=True, text=True
        )
        if done.returncode:
            first = "".join(done.stderr.strip().splitlines()[:1])
            raise RunError(
                f"{archive}, the code of the run, cannot be unpacked to {to} ({first}); start it with the present code: "
                "freeze=false"
            )
        if target != to:
            with suppress(OSError):  # another process was faster
                target.rename(to)
            shutil.rmtree(target, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{archive}, the code of the run, cannot be unpacked to {to}: {error.strerror}"
        ) from None


def _check_members(archive: Path) -> None:
    """RunError for an archive that holds what no launch puts into one: a link, a device, a path outside of its folder."""
    import tarfile

    with _reading(archive), tarfile.open(archive, "r:") as members:
        for member in members:
            path = PurePosixPath(member.name)
            if not (member.isfile() or member.isdir()) or path.is_absolute() or ".." in path.parts:
                raise RunError(
                    f"{archive}, the code of a run, holds {member.name[:100]!r}, which no launch writes; was it edited?"
                )


@contextmanager
def _reading(archive: Path) -> Generator[None]:
    """RunError for a file that is not an archive."""
    import tarfile

    try:
        yield
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        said = str(error).partition("\n")[0]
        raise RunError(f"{archive}, the code of a run, is not an archive ({said}); was it edited?") from None


def _is_same(folder: Path, archive: str) -> bool:
    """Whether every file of the copy is in the archive with the same content. A file that the copy lacks does not count: it is
    unpacked afterwards."""
    told = subprocess.run(
        ["tar", "--compare", "-f", archive, "-C", str(folder)], capture_output=True, text=True, errors="replace",
        env={**os.environ, environment.LC_ALL: "C"},
    )  # fmt: skip
    if _DIFFERS.search(told.stdout + told.stderr):
        return False
    listed = subprocess.run(["tar", "-tf", archive, "--quoting-style=literal"], capture_output=True)
    known = {os.fsdecode(line) for line in listed.stdout.splitlines()}
    added = (
        f"./{path.relative_to(folder)}"
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    )
    return all(path in known for path in added)


def changed_files(old: Path, new: Path) -> list[str]:
    """Paths of the files that differ between two archives; RunError if a file is not an archive."""
    before, after = _digests(old), _digests(new)
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _digests(archive: Path) -> dict[str, bytes]:
    import tarfile

    found: dict[str, bytes] = {}
    with _reading(archive), tarfile.open(archive, "r:") as members:
        for member in members:
            file = members.extractfile(member) if member.isfile() else None
            digest = hashlib.sha256()
            while file and (piece := file.read(PIECE)):
                digest.update(piece)
            found[member.name.removeprefix("./")] = digest.digest()
    return found
