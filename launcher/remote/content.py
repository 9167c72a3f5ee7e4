"""What is sent to a cluster, named by its content: files by their sha256, and folders by a digest of their files."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from launcher import environment
from launcher.errors import ConfigError
from launcher.reading import object_in
from launcher.run import write_text
from launcher.run.record import is_kind

_PIECE = 1 << 20


def cache_here() -> Path:
    """The cache of this machine, because the key cache_dir names the cache of the cluster."""
    given = os.environ.get(environment.XDG_CACHE_HOME)
    return (Path(given) if given else Path.home() / ".cache") / "launcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file of this machine."""

    path: Path
    sha: str
    size: int
    """Size in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A folder on the cluster, below sent/."""

    name: str
    """code/HASH or data/HASH."""
    files: Mapping[str, Blob] = field(default_factory=dict[str, Blob])
    """Path in the folder -> file."""
    archive: Blob | None = None
    """A tar archive that is unpacked on the cluster."""

    @property
    def blobs(self) -> list[Blob]:
        """All files from which it is made."""
        return [*self.files.values(), *([self.archive] if self.archive else [])]


class Hashes:
    """The sha256 of files, cached as long as size, modification time and inode stay the same."""

    def __init__(self, cache: Path) -> None:
        self._file = cache / "ssh_hashes.json"
        found = object_in(self._file)
        kind = Mapping[str, Sequence[int | str]]
        self._known: dict[str, Sequence[int | str]] = found if found and is_kind(found, kind) else {}
        self._new = False

    def blob(self, path: Path) -> Blob:
        """The file; ConfigError if it cannot be read."""
        try:
            status = path.stat()
            state = [status.st_size, status.st_mtime_ns, status.st_ino]
            known = self._known.get(str(path))
            if known and list(known[:-1]) == state:
                return Blob(path=path, sha=str(known[-1]), size=status.st_size)
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read ({error.strerror}), so it cannot be sent to the cluster"
            ) from None
        self._known[str(path)] = [*state, digest.hexdigest()]
        self._new = True
        return Blob(path=path, sha=digest.hexdigest(), size=status.st_size)

    def save(self) -> None:
        """Keeps what was computed; files that are gone are forgotten."""
        if not self._new:
            return
        kept = {path: state for path, state in self._known.items() if Path(path).exists()}
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file, json.dumps(kept))


def code_tree(archive: Path, hashes: Hashes) -> Tree:
    """The folder that an archive of code becomes."""
    return Tree(name=f"code/{archive.stem}", archive=hashes.blob(archive))


def data_tree(files: Mapping[str, Path], hashes: Hashes) -> Tree:
    """The folder of data files or of a model; `files` maps paths in it to files."""
    blobs = {name: hashes.blob(path) for name, path in sorted(files.items())}
    content = json.dumps([(name, blob.sha) for name, blob in blobs.items()]).encode()
    return Tree(name=f"data/{hashlib.sha256(content).hexdigest()[:40]}", files=blobs)


def missing(trees: Sequence[Tree], have: Mapping[str, int], made: Sequence[str]) -> dict[Blob, int]:
    """The files to send, with the bytes of each that have already arrived; without those of folders that are already there."""
    wanted = {blob.sha: blob for tree in trees if tree.name not in made for blob in tree.blobs}
    return {blob: min(have.get(sha, 0), blob.size) for sha, blob in wanted.items() if have.get(sha, 0) >= 0}
