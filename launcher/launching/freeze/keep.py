"""Archives of code in the cache, named by their content, and their copies in run dirs."""

import hashlib
import json
import marshal
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from launcher import environment
from launcher.errors import ConfigError, RunError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.freeze.look import FolderFiles
from launcher.reading import object_in
from launcher.run import write_text
from launcher.run.kinds import fits

_TAR_S = 600.0
USES = "uses"
"""The folder beside the archives that has a file for each archive, with one line for each run dir that has the archive."""
PIECE = 1 << 20
_BLOCKS = 512
"""How many blocks of 512 bytes tar writes at once: with its default of 20 it takes a quarter longer for 10,000 files."""
_INDEX: Mapping[str, Any] = {
    "archive": str,
    "files": int,
    "bytes": int,
    "left_out": Mapping[str, Sequence[str]],
}
"""What the cache records about an archive."""
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")


@frozen_dataclass
class Kept:
    """An archive in the cache."""

    archive: Path
    files: int
    bytes: int
    left_out: Mapping[str, list[str]]
    """Reason -> files that were left out while it was written."""

    @property
    def folder(self) -> Path:
        """Where it is unpacked."""
        return self.archive.with_suffix("")


def keep(root: Path, seen: FolderFiles, cache: Path, secrets: Mapping[str, str]) -> Kept:
    """The archive of these files, which is written unless the same files were kept before.

    ConfigError for a Python file that holds the value of a secret; another such file is left out.
    """
    values = sorted(secrets.values())
    # Version 2 of the format has no references, so that equal values have equal bytes; it takes a fifth of the time of repr.
    key = hashlib.sha256(marshal.dumps((os.fsencode(root), seen.files, values), 2)).hexdigest()[:40]
    index = cache / "index" / f"{key}.json"
    known = object_in(index)
    if known and fits(known, _INDEX) and known.keys() == _INDEX.keys():
        archive = cache / Path(known["archive"]).name
        if archive.is_file():
            return Kept(
                archive=archive, files=known["files"], bytes=known["bytes"], left_out=known["left_out"]
            )
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
        names = b"\0".join(path for path, *_ in seen.files)
        if any(os.fsencode(value) in names for value in values):
            raise ConfigError(
                f"freeze: the name of a file in {root} holds the value of a secret variable; rename it, or set freeze=false"
            )
        kept = _write(root, [path for path, *_ in seen.files], cache, secrets)
        write_text(index, json.dumps({**_entry(kept)}))
    except OSError as error:
        raise RunError(
            f"cache_dir: the code of the run cannot be kept in {cache} ({error.strerror}); free some space, choose another "
            "cache_dir, or set freeze=false"
        ) from None
    return kept


def _entry(kept: Kept) -> dict[str, object]:
    return {
        "archive": kept.archive.name,
        "files": kept.files,
        "bytes": kept.bytes,
        "left_out": dict(kept.left_out),
    }


def _write(root: Path, paths: Sequence[bytes], cache: Path, secrets: Mapping[str, str]) -> Kept:
    temporary = cache / f".{unique()}.tar"
    try:
        left_out = _tar(root, paths, temporary)
        encoded = {name: _as_written(value) for name, value in secrets.items()}
        digest, found = _scan(temporary, [value for values in encoded.values() for value in values])
        if found and (named := _with_secret(temporary, encoded)):
            for path, variable in named.items():
                if path.endswith(".py"):
                    raise ConfigError(
                        f"freeze: {root / path} holds the value of {variable}, and the code of a run is copied; read it from "
                        "os.environ there, or set freeze=false"
                    )
            rest = [path for path in paths if os.fsdecode(path) not in named]
            kept = _write(root, rest, cache, secrets)
            told = {**kept.left_out, "files that hold the value of a secret": [*named]}
            return Kept(archive=kept.archive, files=kept.files, bytes=kept.bytes, left_out=told)
        size = temporary.stat().st_size
        archive = cache / f"{digest[:40]}.tar"
        temporary.replace(archive)
    finally:
        temporary.unlink(missing_ok=True)
    return Kept(archive=archive, files=len(paths), bytes=size, left_out=left_out)


def _tar(root: Path, paths: Sequence[bytes], to: Path) -> dict[str, list[str]]:
    """Writes the archive, the same for the same content; returns what could not be read."""
    command = [
        "tar", "--create", "--file", str(to), "--directory", str(root), "--null", "--no-recursion", "--dereference",
        "--hard-dereference", "--format=gnu", f"--blocking-factor={_BLOCKS}", "--mtime=@0", "--owner=0", "--group=0",
        "--numeric-owner", "--mode=a-w", "--ignore-failed-read", "--files-from=-",
    ]  # fmt: skip
    with TemporaryFile() as names:  # through a pipe, Python would send them in thousands of pieces
        names.write(b"".join(b"./" + path + b"\0" for path in paths))
        names.seek(0)
        done = subprocess.run(
            command,
            stdin=names,
            capture_output=True,
            timeout=_TAR_S,
            env={**os.environ, environment.LC_ALL: "C"},
        )
    if done.returncode > 1:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        raise RunError(
            f"freeze: the code in {root} cannot be kept: {' '.join(reason)}; correct that, or set freeze=false"
        )
    unread = re.findall(r"tar: \./(.+?): (?:Warning: )?Cannot", done.stderr.decode(errors="replace"))
    return {"unreadable": sorted(set(unread))} if unread else {}


def _scan(archive: Path, values: Sequence[bytes]) -> tuple[str, bool]:
    """The SHA-256 of the archive, and whether one of the values is in it."""
    digest, piece, before = hashlib.sha256(), memoryview(bytearray(PIECE)), b""
    longest = max(map(len, values), default=0)
    found = False
    with archive.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            digest.update(piece[:size])
            if values and not found:
                text = before + piece[:size]
                found = any(value in text for value in values)
                before = text[-longest:]
    return digest.hexdigest(), found


def _with_secret(archive: Path, encoded: Mapping[str, Sequence[bytes]]) -> dict[str, str]:
    """Path -> variable, for each file that holds the value of one, in UTF-8 or in UTF-16, which editors of Windows write."""
    import tarfile  # imported here: most launches open no archive

    named: dict[str, str] = {}
    with tarfile.open(archive) as members:
        for member in members:
            file = members.extractfile(member)
            text = file.read() if file else b""
            for name, values in encoded.items():
                if any(value in text for value in values):
                    named[member.name.removeprefix("./")] = name
    return named


def _as_written(value: str) -> list[bytes]:
    """The byte strings that a file with the value may have, one for each encoding."""
    utf_8, low, high = (
        value.encode(name, "surrogateescape" if name == "utf-8" else "surrogatepass") for name in _ENCODINGS
    )
    # For ASCII text the two byte orders of UTF-16 share all bytes but the last of one and the first of the other: one search
    # without the last byte finds both.
    return [utf_8, low[:-1]] if value.isascii() else [utf_8, low, high]


def unique() -> str:
    """A part of a temporary name. Hosts share the cache, and in containers many processes have the same id."""
    return f"{os.getpid()}.{os.urandom(4).hex()}"


def copy(archive: Path, to: Path) -> None:
    """Puts the archive into a run dir, as a second name of the same file where the file system allows it, and notes beside it
    that the run has it."""
    to.parent.mkdir(exist_ok=True)
    try:
        os.link(archive, to)
    except FileExistsError:
        return
    except OSError:
        shutil.copyfile(archive, to)
    notes = archive.parent / USES / archive.stem
    with suppress(OSError):  # the link to the archive, or code.json, says the same
        notes.parent.mkdir(exist_ok=True)
        with notes.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{to}\n")
